//! Sets of instances and of images, and their digests.

use std::collections::HashMap;

use sha2::{Digest, Sha256};

use super::hexadecimal::hexadecimal;
use super::source_image::SourceImage;
use super::uid::Uid;

/// An instance of a set: SOP Instance UID and SHA-256 of its data set.
pub type Member = (Uid, String);

/// The digest of a set of instances, whatever their order.
pub fn instances_sha256(members: &[Member]) -> String {
    digest(members.iter().map(|(uid, sha256)| format!("{uid} {sha256}\n")).collect())
}

/// The digest of a set of images of some of these instances, whatever their order: that of the instances where each is
/// one image. `None` if an image is of no instance among them.
pub fn images_sha256<'a>(images: impl Iterator<Item = &'a SourceImage>, members: &[Member]) -> Option<String> {
    let digests: HashMap<&Uid, &String> = members.iter().map(|(uid, sha256)| (uid, sha256)).collect();
    let line = |image: &SourceImage| {
        let (uid, sha256) = (image.sop_instance_uid(), digests.get(image.sop_instance_uid())?);
        Some(image.frame().map_or_else(|| format!("{uid} {sha256}\n"), |frame| format!("{uid} {sha256} {frame}\n")))
    };
    images.map(line).collect::<Option<_>>().map(digest)
}

fn digest(mut lines: Vec<String>) -> String {
    lines.sort_unstable();
    hexadecimal(&Sha256::digest(lines.concat()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dicom::{EnhancedCt, FrameNumber};

    fn member(uid: &str, sha256: &str) -> Member {
        (Uid::parse(uid).expect("uid"), sha256.to_owned())
    }

    #[test]
    fn the_digest_depends_on_the_set_and_not_on_its_order() {
        let (first, second) = (member("1.2", "aa"), member("1.3", "bb"));
        let set = instances_sha256(&[first.clone(), second.clone()]);
        assert_eq!(set, instances_sha256(&[second.clone(), first.clone()]));
        assert_ne!(set, instances_sha256(std::slice::from_ref(&first)));
        assert_ne!(set, instances_sha256(&[first, member("1.3", "bc")]));
    }

    #[test]
    fn images_have_the_digest_of_their_instances_whatever_else_lies_beside_them() {
        let all = [member("1.2", "aa"), member("1.3", "bb"), member("1.4", "a localizer")];
        let images = [&all[1], &all[0]].map(|(uid, _)| SourceImage::object(uid.clone()));
        assert_eq!(images_sha256(images.iter(), &all), Some(instances_sha256(&all[..2])));
        assert_eq!(images_sha256(images.iter(), &all[1..]), None, "an image of no instance");
        let frame = |number| {
            let number = FrameNumber::new(number).expect("a number");
            images_sha256([SourceImage::frame_of(EnhancedCt::Enhanced, all[0].0.clone(), number)].iter(), &all)
        };
        assert_ne!(frame(1), frame(2));
    }
}
