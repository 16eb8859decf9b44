use burn::module::Module;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::PaddingConfig2d;
use burn::tensor::{Device, Tensor, activation::relu};
use std::time::Instant;

#[derive(Module, Debug)]
struct Net { a: Conv2d, b: Conv2d, c: Conv2d }
fn conv(i: usize, o: usize, k: usize, s: usize, d: &Device) -> Conv2d {
    Conv2dConfig::new([i, o], [k, k]).with_stride([s, s]).with_padding(PaddingConfig2d::Explicit(k/2,k/2,k/2,k/2)).init(d)
}
fn as_matmul(c: &Conv2d, x: Tensor<4>) -> Tensor<4> {
    let [n, ci, h, w] = x.dims();
    let xp = x.pad((1,1,1,1), burn::tensor::ops::PadMode::Constant(0.0));
    let mut cols = Vec::new();
    for i in 0..3 { for j in 0..3 { cols.push(xp.clone().slice([0..n, 0..ci, i..i+h, j..j+w]).reshape([n, ci, h*w])); } }
    let cols = Tensor::cat(cols, 1);
    let weight = c.weight.val();
    let co = weight.dims()[0];
    let weight = weight.permute([0,2,3,1]).reshape([1, co, 9*ci]);
    let y = weight.matmul(cols).reshape([n, co, h, w]);
    y + c.bias.as_ref().unwrap().val().reshape([1, co, 1, 1])
}
fn main() {
    let d = Device::default().autodiff();
    let net = Net { a: conv(3, 24, 5, 2, &d), b: conv(24, 24, 3, 1, &d), c: conv(24, 24, 3, 1, &d) };
    let x = Tensor::<4>::random([16, 3, 160, 208], burn::tensor::Distribution::Default, &d);
    for round in 0..3 {
        let t = Instant::now();
        let y = relu(net.a.forward(x.clone()));
        let s = y.clone().sum().into_scalar::<f32>(); let ta = t.elapsed();
        let t = Instant::now();
        let z = relu(net.b.forward(y.clone()));
        let s2 = z.clone().sum().into_scalar::<f32>(); let tb = t.elapsed();
        let t = Instant::now();
        let q = relu(as_matmul(&net.c, z.clone()));
        let s3 = q.clone().sum().into_scalar::<f32>(); let tc = t.elapsed();
        println!("round {round} forward stem {ta:?} conv {tb:?} matmul {tc:?} {s} {s2} {s3}");
        let t = Instant::now();
        let y1 = Tensor::from_data(y.clone().into_data(), &d);
        let g = relu(net.b.forward(y1)).sum().backward();
        println!("  conv fwd+bwd(no x) {:?}", t.elapsed());
        let gb = net.b.weight.grad(&g).unwrap();
        let t = Instant::now();
        let y1 = Tensor::from_data(y.clone().into_data(), &d);
        let g = relu(as_matmul(&net.b, y1)).sum().backward();
        println!("  matmul fwd+bwd(no x) {:?}", t.elapsed());
        let gc = net.b.weight.grad(&g).unwrap();
        println!("  grad difference {}", (gb - gc).abs().max().into_scalar::<f32>());
        let t = Instant::now();
        let y1 = Tensor::from_data(y.clone().into_data(), &d).require_grad();
        let _g = relu(net.b.forward(y1)).sum().backward();
        println!("  conv fwd+bwd(x) {:?}", t.elapsed());
        let t = Instant::now();
        let y1 = Tensor::from_data(y.clone().into_data(), &d).require_grad();
        let _g = relu(as_matmul(&net.b, y1)).sum().backward();
        println!("  matmul fwd+bwd(x) {:?}", t.elapsed());
        let t = Instant::now();
        let _g = relu(net.a.forward(x.clone())).sum().backward();
        println!("  stem fwd+bwd(no x) {:?}", t.elapsed());
    }
}
