//! The transfer syntaxes that are accepted, whichever way an object comes.

use dicom_dictionary_std::uids;
use dicom_transfer_syntax_registry::{TransferSyntax, TransferSyntaxIndex, TransferSyntaxRegistry};

/// Retired, still found in old archives.
pub const EXPLICIT_VR_BIG_ENDIAN: &str = "1.2.840.10008.1.2.2";

/// Every transfer syntax whose data sets and pixels are read here: what is accepted can be analysed and retrieved.
///
/// Left out: JPEG Extended (.51), which does not decode with 12 bits, as CT has; JPEG XL; videos; JPEG 2000 of several
/// components; pixels that lie on another server (JPIP).
pub const ACCEPTED: [&str; 17] = [
    uids::EXPLICIT_VR_LITTLE_ENDIAN,
    uids::IMPLICIT_VR_LITTLE_ENDIAN,
    uids::DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN,
    uids::JPEG_LOSSLESS_SV1,
    uids::JPEG_LOSSLESS,
    uids::JPEGLS_LOSSLESS,
    uids::JPEGLS_NEAR_LOSSLESS,
    uids::JPEG2000_LOSSLESS,
    uids::JPEG2000,
    uids::HTJ2K_LOSSLESS,
    uids::HTJ2K_LOSSLESS_RPCL,
    uids::HTJ2K,
    uids::RLE_LOSSLESS,
    uids::JPEG_BASELINE8_BIT,
    uids::DEFLATED_IMAGE_FRAME_COMPRESSION,
    uids::ENCAPSULATED_UNCOMPRESSED_EXPLICIT_VR_LITTLE_ENDIAN,
    EXPLICIT_VR_BIG_ENDIAN,
];

/// True if objects in this transfer syntax are accepted.
pub fn is_accepted(transfer_syntax_uid: &str) -> bool {
    ACCEPTED.contains(&transfer_syntax_uid)
}

/// True if pixel data in this transfer syntax is decoded.
pub fn decodes(transfer_syntax_uid: &str) -> bool {
    TransferSyntaxRegistry.get(transfer_syntax_uid).is_some_and(TransferSyntax::can_decode_all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_accepted_decodes_here() {
        for uid in ACCEPTED {
            assert!(decodes(uid), "{uid}");
        }
        assert!(!is_accepted(uids::JPEG_EXTENDED12_BIT) && !is_accepted("1.2.3"));
    }

    #[test]
    fn the_documentation_lists_what_is_accepted() {
        let page = include_str!("../../docs/dicom.md");
        let listed = |uid: &&str| page.contains(&format!("| {uid} |"));
        assert_eq!(ACCEPTED.iter().find(|uid| !listed(uid)), None);
        assert_eq!(
            page.lines().filter(|line| line.ends_with(" |") && line.contains("| 1.2.840.10008.1.2")).count(),
            17
        );
    }
}
