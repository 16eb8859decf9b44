//! Letters for directions in the patient
//! ([PS3.3 C.7.6.1.1.1](https://dicom.nema.org/medical/dicom/current/output/chtml/part03/sect_C.7.6.html)).

/// The letters of a direction (LPS), strongest component first: `L`, `PR`; components below a tenth are left out, as
/// is the third.
pub(super) fn letters(direction: [f64; 3]) -> String {
    let names = [['L', 'R'], ['P', 'A'], ['H', 'F']];
    let mut components: Vec<(f64, char)> = direction
        .into_iter()
        .zip(names)
        .map(|(component, [positive, negative])| (component.abs(), if component > 0.0 { positive } else { negative }))
        .filter(|(size, _)| *size > 0.1)
        .collect();
    components.sort_by(|a, b| b.0.total_cmp(&a.0));
    components.into_iter().take(2).map(|(_, letter)| letter).collect()
}

/// The direction the other way.
pub(super) fn opposite(direction: [f64; 3]) -> [f64; 3] {
    direction.map(|component| -component)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_name_the_direction_in_the_patient() {
        assert_eq!(letters([1.0, 0.0, 0.0]), "L");
        assert_eq!(letters(opposite([1.0, 0.0, 0.0])), "R");
        assert_eq!(letters([0.0, 0.0, -1.0]), "F");
        assert_eq!(letters([0.5, 0.85, 0.05]), "PL");
    }
}
