use super::*;

fn load(file: &str, overrides: &[&str]) -> Result<Config, ConfigError> {
    let directory = tempfile::tempdir().expect("temporary folder");
    let path = directory.path().join("node.toml");
    std::fs::write(&path, file).expect("write");
    let overrides: Vec<String> = overrides.iter().map(|text| (*text).to_owned()).collect();
    Config::load(Some(&path), std::iter::empty(), &overrides)
}

#[test]
fn flags_win_over_environment_over_file_over_defaults() {
    let directory = tempfile::tempdir().expect("temporary folder");
    let path = directory.path().join("node.toml");
    std::fs::write(&path, "[study]\nquiet_seconds = 5\n[dicom]\nae_title = \"FILE\"\nlisten = \"127.0.0.1:1\"")
        .expect("write");
    let environment = [("PE_NODE__DICOM__AE_TITLE".to_owned(), "ENV".to_owned()), ("HOME".to_owned(), "x".to_owned())];
    let config = Config::load(Some(&path), environment, &["dicom.listen=127.0.0.1:2".to_owned()]).expect("valid");
    assert!((config.study.quiet_seconds - 5.0).abs() < f64::EPSILON);
    assert_eq!(config.dicom.ae_title.as_str(), "ENV");
    assert_eq!(config.dicom.listen.port(), 2);
    assert_eq!(config.http.listen.port(), 8080);
}

#[test]
fn an_unknown_key_names_the_nearest_known_one() {
    let error = load("[dicom]\nlissen = \"127.0.0.1:1\"", &[]).expect_err("unknown key").to_string();
    assert!(error.contains("`dicom.lissen`") && error.contains("did you mean `dicom.listen`"), "{error}");
    let error = load("", &["studi.quiet_seconds=1"]).expect_err("unknown key").to_string();
    assert!(error.contains("`study.quiet_seconds`"), "{error}");
}

#[test]
fn a_destination_needs_what_its_kind_needs() {
    let destination = "[[destinations]]\nname = \"pacs\"\nkind = \"dicom\"\naddress = \"10.0.0.1:104\"\n";
    assert!(load(destination, &[]).expect_err("no AE title").to_string().contains("ae_title"));
    let config = load(&format!("{destination}ae_title = \"PACS\""), &[]).expect("valid");
    assert_eq!(config.destinations.len(), 1);
    assert_eq!(config.destinations[0].transport.kind(), DestinationKind::Dicom);
    for (more, problem) in [
        ("url = \"http://h\"", "destination `pacs` of kind `dicom`: it needs `address` and `ae_title`"),
        ("attempts = 0", "`attempts` starts at 1"),
        ("fallbacks = [\"basic-text-sr\"]", "enhanced-sr"),
        ("port = 104", "port"),
    ] {
        let error = load(&format!("{destination}ae_title = \"PACS\"\n{more}"), &[]).expect_err(more).to_string();
        assert!(error.contains(problem), "{error}");
    }
    let forms = load(&format!("{destination}ae_title = \"PACS\"\nfallbacks = [\"enhanced-sr\"]"), &[]).expect("valid");
    let Transport::Dicom(forms) = &forms.destinations[0].transport else { panic!("by C-STORE") };
    assert_eq!(
        (&forms.fallbacks[..], forms.query_duplicates, forms.commitment),
        (&[Fallback::EnhancedSr][..], true, false)
    );
    let stow = "[[destinations]]\nname = \"a\"\nkind = \"stow\"\nurl = \"http://h\"\ncommitment = true";
    assert!(load(stow, &[]).expect_err("no such service by HTTP").to_string().contains("no other key"));
    let unknown = load(&destination.replace("\"dicom\"", "\"ftp\""), &[]).expect_err("unknown kind").to_string();
    assert!(unknown.contains("dicom") && unknown.contains("stow"), "{unknown}");
    let shown = config.to_toml();
    assert_eq!(load(&shown, &[]).expect("what is shown is valid").destinations, config.destinations);
}

#[test]
fn what_a_peer_may_do_is_granted_by_name_and_an_address_belongs_to_a_title() {
    let peer = "[[dicom.peers]]\nnetwork = \"10.0.0.0/8\"\n";
    let config = load(&format!("{peer}ae_title = \"CT\"\nmay_commit = true"), &[]).expect("valid");
    let entry = &config.dicom.peers[0];
    assert_eq!((entry.may_query, entry.may_retrieve, entry.may_commit), (false, false, true));
    let error = load(&format!("{peer}ae_title = \"*\"\naddress = \"10.0.0.1:104\""), &[]).expect_err("nobody's");
    assert!(error.to_string().contains("`address`"), "{error}");
}

#[test]
fn secrets_are_not_shown() {
    let text = "[[destinations]]\nname = \"a\"\nkind = \"stow\"\nurl = \"http://h/dicomweb\"\nauthorization = \"Bearer s3cret\"";
    assert!(!load(text, &[]).expect("valid").to_toml().contains("s3cret"));
}

#[test]
fn quality_checks_take_severities_and_limits_from_zero() {
    let config =
        load("[quality]\ntoo_thick = \"reject\"\nthickest_slice_mm = 2.5", &["quality.lungs_cut=off"]).expect("valid");
    assert_eq!((config.quality.too_thick, config.quality.lungs_cut), (Severity::Reject, Severity::Off));
    let error = load("", &["quality.too_thick=refuse"]).expect_err("no such severity").to_string();
    assert!(error.contains("reject") && error.contains("warn"), "{error}");
    let error = load("", &["quality.largest_cut_cm2=-1"]).expect_err("below zero").to_string();
    assert!(error.contains("quality.largest_cut_cm2 = -1"), "{error}");
}
