//! How this program names itself in file meta information and associations
//! ([PS3.7 D.3.3.2](https://dicom.nema.org/medical/dicom/current/output/chtml/part07/sect_D.3.3.2.html)).

/// Implementation Class UID (0002,0012).
pub const CLASS_UID: &str = "2.25.283021515331514779568331184362392500782";

/// Implementation Version Name (0002,0013), at most 16 characters.
pub const VERSION_NAME: &str = concat!("PE-NODE_", env!("CARGO_PKG_VERSION"));

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dicom::Uid;

    #[test]
    fn the_identifier_is_derived_from_the_name_and_the_version_fits() {
        assert_eq!(CLASS_UID, Uid::derived(["pe-node", "implementation class"]).as_str());
        assert!(VERSION_NAME.len() <= 16);
    }
}
