"""What timm calls the networks of `encoder.architecture`."""

NAMES = {
    "resnet18": "resnet18",
    "resnet34": "resnet34",
    "resnet50": "resnet50",
    "coatnet0": "coatnet_0_rw_224",
    "efficientnetv2_s": "tf_efficientnetv2_s",
    "vit_base_patch16": "vit_base_patch16_224",
}
