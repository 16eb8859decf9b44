use dicom_core::value::DataSetSequence;
use dicom_core::{DataElement, PrimitiveValue, Tag, VR};

use super::*;

fn image(texts: &[(Tag, &str)]) -> DataSet {
    let vr = |tag| match tag {
        tags::RESCALE_TYPE | tags::SERIES_DESCRIPTION => VR::LO,
        tags::CODE_VALUE => VR::SH,
        _ => VR::CS,
    };
    DataSet::from_element_iter(
        texts.iter().map(|(tag, text)| DataElement::new(*tag, vr(*tag), PrimitiveValue::from(*text))),
    )
}

fn with_item(mut image: DataSet, tag: Tag, item: DataSet) -> DataSet {
    image.put(DataElement::new(tag, VR::SQ, DataSetSequence::from(vec![item])));
    image
}

/// An image whose numbers mean something in this unit.
fn mapped(image: DataSet, unit: &str) -> DataSet {
    let unit = self::image(&[(tags::CODE_VALUE, unit)]);
    let mapping = with_item(DataSet::new_empty(), tags::MEASUREMENT_UNITS_CODE_SEQUENCE, unit);
    with_item(image, tags::REAL_WORLD_VALUE_MAPPING_SEQUENCE, mapping)
}

#[test]
fn slices_in_hounsfield_units_pass_whatever_they_leave_unsaid() {
    let passing = [
        image(&[]),
        image(&[(tags::RESCALE_TYPE, "HU")]),
        image(&[(tags::RESCALE_TYPE, "US")]),
        image(&[(tags::IMAGE_TYPE, "ORIGINAL\\PRIMARY\\AXIAL\\VMI"), (tags::RESCALE_TYPE, "HU")]),
        image(&[(tags::IMAGE_TYPE, "DERIVED\\SECONDARY\\REFORMATTED\\AVERAGE")]),
        image(&[
            (tags::IMAGE_TYPE, "DERIVED\\PRIMARY\\VOLUME\\MEAN"),
            (tags::VOLUME_BASED_CALCULATION_TECHNIQUE, "MPR"),
        ]),
        mapped(image(&[]), "[hnsf'U]"),
        mapped(image(&[(tags::RESCALE_TYPE, "HU")]), "1"),
    ];
    for image in passing {
        assert_eq!(check(&image), Ok(()));
    }
}

#[test]
fn other_quantities_are_refused_by_name() {
    let axial = |value: &str| format!("DERIVED\\PRIMARY\\AXIAL\\{value}");
    let refused = [
        (image(&[(tags::RESCALE_TYPE, "MGML")]), "Rescale Type (0028,1054) has the value MGML, concentration"),
        (image(&[(tags::RESCALE_TYPE, "PCT")]), "PCT, percentage of a material"),
        (image(&[(tags::RESCALE_TYPE, "HU_MOD")]), "HU_MOD, Hounsfield units modified"),
        (image(&[(tags::RESCALE_TYPE, "counts<b>")]), "(0028,1054) has the value counts?b?"),
        (image(&[(tags::IMAGE_TYPE, &axial("EFF_ATOMIC_NUM"))]), "(0008,0008) has the value EFF_ATOMIC_NUM, effective"),
        (image(&[(tags::IMAGE_TYPE, &axial("MAT_REMOVED")), (tags::RESCALE_TYPE, "HU")]), "MAT_REMOVED, image from"),
        (image(&[(tags::IMAGE_TYPE, &axial("SUBTRACTION"))]), "SUBTRACTION, difference of images"),
        (mapped(image(&[]), "mg/mL"), "Real World Value Mapping Sequence (0040,9096) has the unit mg?mL"),
        (mapped(image(&[(tags::RESCALE_TYPE, "US")]), "1"), "has the unit 1"),
    ];
    for (image, words) in refused {
        let Err(Unfit::NotHounsfield(told)) = check(&image) else { panic!("passed: {words}") };
        assert!(told.starts_with("no Hounsfield units: ") && told.contains(words), "{told}");
    }
}

#[test]
fn projections_are_refused_by_name() {
    let derived = |value: &str| image(&[(tags::IMAGE_TYPE, &format!("DERIVED\\SECONDARY\\AXIAL\\{value}"))]);
    let code = image(&[(tags::CODE_VALUE, "113079")]);
    let refused = [
        (derived("MIP"), "Image Type (0008,0008) has the value MIP"),
        (derived("CSA MIP"), "has the value CSA MIP"),
        (derived("MIN_IP"), "has the value MIN_IP"),
        (derived("MinIP"), "has the value MinIP"),
        (image(&[(tags::IMAGE_TYPE, "DERIVED\\SECONDARY\\PROJECTION IMAGE")]), "PROJECTION IMAGE"),
        (
            image(&[(tags::VOLUME_BASED_CALCULATION_TECHNIQUE, "MAX_IP")]),
            "Volume Based Calculation Technique (0008,9207) has the value MAX_IP",
        ),
        (
            with_item(image(&[]), tags::DERIVATION_CODE_SEQUENCE, code),
            "Derivation Code Sequence (0008,9215) has the code 113079, minimum intensity projection",
        ),
    ];
    for (image, words) in refused {
        let Err(Unfit::Projection(told)) = check(&image) else { panic!("passed: {words}") };
        assert!(told.starts_with("a projection: ") && told.contains(words), "{told}");
    }
}

#[test]
fn the_energy_of_a_monochromatic_image_is_found_where_scanners_state_it() {
    let kev = |image: &DataSet| Monochromatic::of(image).map(|monochromatic| monochromatic.kev);
    let energy = DataElement::new(tags::MONOENERGETIC_ENERGY_EQUIVALENT, VR::FD, PrimitiveValue::from(55.0));
    let of_sequence = with_item(
        image(&[(tags::IMAGE_TYPE, "ORIGINAL\\PRIMARY\\AXIAL\\VMI"), (tags::SERIES_DESCRIPTION, "of 70 keV")]),
        tags::MULTIENERGY_CT_CHARACTERISTICS_SEQUENCE,
        DataSet::from_element_iter([energy]),
    );
    assert_eq!(kev(&of_sequence), Some(Some(55.0)));
    let described = |text: &str| kev(&image(&[(tags::SERIES_DESCRIPTION, text)]));
    assert_eq!(described("MonoE 65keV"), Some(Some(65.0)));
    assert_eq!(described("CTPA Monoenergetic Plus 40 keV"), Some(Some(40.0)));
    assert_eq!(described("Kevin 3 kevlar"), None);
    assert_eq!(described("CTPA 120 kV"), None);
    assert_eq!(described("keV"), None);
    let unstated = image(&[(tags::IMAGE_TYPE, "ORIGINAL\\PRIMARY\\AXIAL\\VMI")]);
    assert_eq!(kev(&unstated), Some(None));
    assert_eq!(Monochromatic { kev: None }.to_string(), "virtual monochromatic images of an energy that is not stated");
    assert_eq!(Monochromatic { kev: Some(70.0) }.to_string(), "virtual monochromatic images of 70 keV");
}
