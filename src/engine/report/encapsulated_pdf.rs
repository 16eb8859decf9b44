//! The summary page as an Encapsulated PDF, for systems that show documents and no colour images ([PS3.3
//! A.45.1](https://dicom.nema.org/medical/dicom/current/output/chtml/part03/sect_A.45.html)).

use std::io::Write as _;

use dicom_dictionary_std::{tags, uids};
use flate2::Compression;
use flate2::write::ZlibEncoder;
use image::RgbImage;

use super::element::Compose;
use super::header::{Document, Header, Reference};
use super::{Context, ReportError};
use crate::dicom::concept::dcm;
use crate::engine::report::ResultKind;

/// Width and height of a page of A4 across, in points.
const PAGE: [u32; 2] = [842, 595];

/// The page, if the settings ask for it.
pub(super) fn build(context: &Context, header: &Header, summary: &RgbImage) -> Result<Option<Document>, ReportError> {
    if !context.settings.encapsulated_pdf {
        return Ok(None);
    }
    let identity = header.identity(ResultKind::Pdf, uids::ENCAPSULATED_PDF_STORAGE);
    let mut bytes = page(summary).map_err(ReportError::Pdf)?;
    let length = bytes.len() as u32;
    bytes.resize(bytes.len().next_multiple_of(2), 0);
    let sources = header.sources().iter().map(Reference::object_item).collect();
    let data_set = header
        .compose(&identity, "DOC", "PE summary")
        .with(tags::CONVERSION_TYPE, "WSD")
        .with(tags::BURNED_IN_ANNOTATION, "NO")
        .with(tags::ACQUISITION_DATE_TIME, "")
        .with(tags::DOCUMENT_TITLE, "CT pulmonary angiogram: automatic analysis")
        .with_concept(tags::CONCEPT_NAME_CODE_SEQUENCE, &dcm::IMAGING_MEASUREMENT_REPORT)
        .with_items(tags::SOURCE_INSTANCE_SEQUENCE, sources)
        .with(tags::MIME_TYPE_OF_ENCAPSULATED_DOCUMENT, "application/pdf")
        .with(tags::ENCAPSULATED_DOCUMENT_LENGTH, length)
        .with(tags::ENCAPSULATED_DOCUMENT, bytes);
    Ok(Some(Document { identity, data_set }))
}

/// A PDF of one page that an image fills (ISO 32000-1).
fn page(image: &RgbImage) -> std::io::Result<Vec<u8>> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(image.as_raw())?;
    let pixels = encoder.finish()?;
    let [width, height] = PAGE;
    let drawing = format!("{width} 0 0 {height} 0 0 cm /Im Do");
    let stream = |dictionary: String, bytes: &[u8]| {
        let head = format!("<<{dictionary}/Length {}>>\nstream\n", bytes.len());
        [head.as_bytes(), bytes, b"\nendstream"].concat()
    };
    let objects = [
        b"<</Type/Catalog/Pages 2 0 R>>".to_vec(),
        b"<</Type/Pages/Kids[3 0 R]/Count 1>>".to_vec(),
        format!(
            "<</Type/Page/Parent 2 0 R/MediaBox[0 0 {width} {height}]/Contents 4 0 R/Resources<</XObject<</Im 5 0 R>>>>>>"
        )
        .into_bytes(),
        stream(String::new(), drawing.as_bytes()),
        stream(
            format!(
                "/Type/XObject/Subtype/Image/Width {}/Height {}/ColorSpace/DeviceRGB/BitsPerComponent 8/Filter/FlateDecode",
                image.width(),
                image.height()
            ),
            &pixels,
        ),
    ];
    let mut document = b"%PDF-1.4\n".to_vec();
    let mut offsets = Vec::new();
    for (index, object) in objects.iter().enumerate() {
        offsets.push(document.len());
        writeln!(document, "{} 0 obj", index + 1)?;
        document.extend_from_slice(object);
        document.extend_from_slice(b"\nendobj\n");
    }
    let table = document.len();
    write!(document, "xref\n0 {}\n0000000000 65535 f \n", objects.len() + 1)?;
    for offset in offsets {
        writeln!(document, "{offset:010} 00000 n ")?;
    }
    write!(document, "trailer\n<</Size {}/Root 1 0 R>>\nstartxref\n{table}\n%%EOF\n", objects.len() + 1)?;
    Ok(document)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_object_lies_where_the_table_says() {
        let document = page(&RgbImage::from_pixel(3, 2, image::Rgb([7, 8, 9]))).expect("a page");
        let text = String::from_utf8_lossy(&document);
        let at = |marker: &[u8]| document.windows(marker.len()).position(|window| window == marker).expect("there");
        let listed: Vec<usize> = text
            .lines()
            .filter(|line| line.ends_with(" n "))
            .map(|line| line[..10].parse().expect("an offset"))
            .collect();
        let expected: Vec<usize> = (1..=5).map(|number| at(format!("{number} 0 obj").as_bytes())).collect();
        assert_eq!(listed, expected);
        let table: usize =
            text.rsplit("startxref\n").next().and_then(|end| end.lines().next()?.parse().ok()).expect("a place");
        assert_eq!(table, at(b"xref\n0 6"));
    }
}
