//! From the archive of a running node to training, through the real binary.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

use crate::node::{BINARY, Node, Packages, name_of, phantoms};

fn run(arguments: &[&str]) -> Output {
    Command::new(BINARY).args(arguments).output().expect("the binary runs")
}

fn lines(path: &Path) -> Vec<String> {
    fs::read_to_string(path)
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()))
        .lines()
        .map(str::to_owned)
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn studies_of_a_running_node_and_a_table_of_labels_become_a_cohort_that_training_reads() {
    let packages = Packages::new();
    let studies = phantoms(packages.folder.path(), 2);
    let node = Node::start(&packages);
    for study in &studies {
        node.push(study);
        node.analysed(study).await;
    }
    let [labels, out, work] = ["labels.csv", "cohort", "work"].map(|name| packages.folder.path().join(name));
    let [first, second] = [&studies[0], &studies[1]].map(|study| name_of(study));
    let table = format!("StudyInstanceUID,pe_present_in_exam\n{first},1\n{second},0\n1.2.3,1\n{second},2\n");
    fs::write(&labels, table).expect("write");
    let storage = format!("storage.path={}", packages.archive().display());
    let [labels, to] = [&labels, &out].map(|path| path.display().to_string());
    let exported = run(&["archive", "export", "--labels", &labels, "--out", &to, "--set", &storage]);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(exported.status.success(), "{}", text(&exported.stderr));
    assert!(text(&exported.stdout).contains("2 exams, 1 with emboli"), "{}", text(&exported.stdout));
    let exclusions = lines(&out.join("exclusions.csv"));
    assert!(
        exclusions.len() == 3 && exclusions[1].starts_with("4,1.2.3,") && exclusions[2].starts_with("5,"),
        "{exclusions:?}"
    );
    let slices = |root: &Path, study: &str| {
        let series =
            fs::read_dir(root.join("train").join(study)).expect("study").next().expect("series").expect("entry");
        fs::read_dir(series.path()).expect("slices").count()
    };
    let pushed = studies[0].parent().and_then(Path::parent).expect("cohort");
    for study in [&first, &second] {
        assert_eq!(slices(&out, study), slices(pushed, study));
    }
    for folder in [packages.archive(), out.clone()] {
        assert_private(&folder);
    }
    // What training makes of it.
    let settings = [
        format!("data.root={}", out.display()),
        format!("work.dir={}", work.display()),
        "data.validation_fraction=0".to_owned(),
        "data.test_fraction=0".to_owned(),
    ];
    let mut arguments = vec!["train", "labels"];
    arguments.extend(settings.iter().flat_map(|setting| ["--set", setting.as_str()]));
    let labelled = run(&arguments);
    assert!(labelled.status.success(), "{}", text(&labelled.stderr));
    let exams = walk(&work, "exams.csv");
    let exams = lines(&exams);
    assert_eq!(exams.len(), 3, "{exams:?}");
    assert!(exams.iter().any(|row| row.contains(&first)) && exams.iter().any(|row| row.contains(&second)));
    assert!(node.analysed(&studies[0]).await["results"].is_array(), "the node was not disturbed");
}

/// Fails if another user could read something below a folder, or the folder.
fn assert_private(folder: &Path) {
    let mut entries = vec![folder.to_owned()];
    while let Some(path) = entries.pop() {
        let metadata = fs::metadata(&path).expect("metadata");
        let mode = metadata.permissions().mode();
        assert!(mode.trailing_zeros() >= 6, "{}: {mode:o}", path.display());
        if metadata.is_dir() {
            entries.extend(fs::read_dir(&path).expect("folder").map(|entry| entry.expect("entry").path()));
        }
    }
}

/// The file of a name somewhere below a folder.
fn walk(folder: &Path, name: &str) -> std::path::PathBuf {
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("folder") {
            let path = entry.expect("entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.file_name().is_some_and(|found| found == name) {
                return path;
            }
        }
    }
    panic!("there is no {name} below {}", folder.display())
}
