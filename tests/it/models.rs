//! `pe-node models` and a running node that follows it, through the real binary.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::node::{BINARY, Node, Packages, fixture, name_of, path_of, phantoms};

#[test]
fn packages_are_imported_promoted_and_rolled_back_by_commands_that_say_what_is_so() {
    let packages = Packages::new();
    packages.another_version("1.1.0");
    let listed = packages.done(&["list"]);
    assert!(listed.contains("* fixture-embolism/1.0.0") && listed.contains("  fixture-embolism/1.1.0"), "{listed}");
    assert!(packages.done(&["promote", "fixture-embolism/1.1.0"]).contains("is the active embolism-classifier now"));
    assert!(packages.done(&["promote", "fixture-embolism/1.1.0"]).contains("already"));
    assert!(packages.done(&["shadow", "fixture-embolism/1.0.0"]).contains("runs from now on"));
    let listed = packages.done(&["list"]);
    for line in
        ["* fixture-embolism/1.1.0", "~ fixture-embolism/1.0.0", "is the shadow model since", "  promoted     embolism"]
    {
        assert!(listed.contains(line), "{line} is missing in {listed}");
    }
    assert!(packages.done(&["rollback", "embolism"]).contains("fixture-embolism/1.0.0  is the active"));
    assert!(packages.done(&["verify"]).contains("fixture-embolism/1.1.0  sha256"));
    // What cannot be done is said with the way out, and is the user's to mend: exit code 2.
    for (arguments, said) in [
        (&["rollback", "embolism"][..], "there is no embolism-classifier before fixture-embolism/1.0.0"),
        (&["promote", "fixture-embolism/7.0.0"], "there is no model package fixture-embolism/7.0.0"),
        (&["promote", "fixture-embolism/7"], "`7` is not a semantic version"),
        (&["shadow", "fixture-embolism/1.0.0"], "is active"),
    ] {
        let output = packages.models(arguments);
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!((output.status.code(), text.contains(said)), (Some(2), true), "{arguments:?}: {text}");
    }
    let named =
        packages.models(&["promote", "fixture-embolism/1.1.0", "--set", "models.embolism=fixture-embolism/1.0.0"]);
    let text = String::from_utf8_lossy(&named.stderr).into_owned();
    assert!(named.status.success() && text.contains("takes precedence"), "{text}");
    // A network that is no longer the one that was imported is not promoted.
    fs::write(packages.directory().join("fixture-embolism/1.0.0/head.onnx"), "nothing").expect("write");
    let output = packages.models(&["rollback", "embolism"]);
    assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stdout));
    assert!(packages.done(&["list"]).contains("* fixture-embolism/1.1.0"));
}

#[test]
fn the_version_names_the_commit_that_the_binary_was_built_from() {
    let output = Command::new(BINARY).arg("--version").output().expect("run");
    let text = String::from_utf8(output.stdout).expect("text");
    let version = concat!("pe-node ", env!("CARGO_PKG_VERSION"), " (");
    let commit = text.trim().strip_prefix(version).and_then(|rest| rest.strip_suffix(')')).expect("a commit");
    let described = commit.strip_suffix("-dirty").unwrap_or(commit);
    let digits = described.bytes().rev().take_while(u8::is_ascii_hexdigit).count();
    assert!(digits >= 40 || commit == "unknown", "{text}");
}

/// The node runs as a user of its own, and whoever imports may keep to himself what he makes.
#[test]
fn a_package_is_for_every_user_to_read_whatever_the_umask_of_its_import() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let directory = format!("models.directory={}", folder.path().join("models").display());
    let package = fixture("fixture-lungs");
    for (action, named) in [("import", package.as_os_str()), ("promote", OsStr::new("fixture-lungs/1.0.0"))] {
        let done = Command::new("sh")
            .args(["-c", "umask 077; exec \"$@\"", "sh", BINARY, "models", action])
            .arg(named)
            .args(["--set", &directory, "--set", "onnxruntime.device=cpu"])
            .output()
            .expect("the shell runs");
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    }
    let mode = |path: &Path| fs::metadata(path).expect("metadata").permissions().mode() & 0o777;
    let models = folder.path().join("models");
    assert_eq!((mode(&models), mode(&models.join("active.toml"))), (0o755, 0o644));
    let name = models.join("fixture-lungs");
    let package = name.join("1.0.0");
    assert_eq!((mode(&name), mode(&package)), (0o755, 0o755));
    for entry in fs::read_dir(&package).expect("listing").flatten() {
        assert_eq!(mode(&entry.path()), 0o644, "{}", entry.path().display());
    }
}

/// Versions of the classifier that a series names.
fn version(series: &Value) -> String {
    let models = series["models"].as_array().expect("models");
    let classifier = models.iter().find(|model| model["name"] == "fixture-embolism").expect("the classifier");
    classifier["version"].as_str().expect("version").to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_node_changes_models_between_exams_and_every_exam_has_one_result_that_names_them() {
    let packages = Packages::new();
    for version in ["1.1.0", "1.2.0"] {
        packages.another_version(version);
    }
    let studies = phantoms(packages.folder.path(), 5);
    let mut node = Node::start(&packages);
    // Pushed one after the other while another model is promoted.
    std::thread::scope(|scope| {
        let pushing = scope.spawn(|| studies[..3].iter().for_each(|study| node.push(study)));
        packages.done(&["promote", "fixture-embolism/1.1.0"]);
        pushing.join().expect("pushed");
    });
    node.until("/api/v1/models", |answer| active(answer) == ["1.1.0"]).await;
    node.push(&studies[3]);
    assert_eq!(version(&node.analysed(&studies[3]).await), "1.1.0");

    // A package that was promoted and broke since: the node goes on, and says so.
    fs::write(packages.directory().join("fixture-embolism/1.2.0/head.onnx"), "no network").expect("write");
    let state = packages.directory().join("active.toml");
    let event = "\n[[history]]\nat = \"2026-01-01T00:00:00Z\"\naction = \"promoted\"\nkind = \"embolism-classifier\"\n\
                 package = \"fixture-embolism/1.2.0\"\nsha256 = \"ab\"\n";
    fs::write(&state, fs::read_to_string(&state).expect("state") + event).expect("write");
    let hangup = Command::new("kill").args(["-HUP", &node.process.id().to_string()]).status().expect("kill");
    assert!(hangup.success());
    let answer = node.until("/api/v1/models", |answer| answer["refused"].is_string()).await;
    assert!(answer["refused"].as_str().expect("reason").contains("head.onnx has the SHA-256"), "{answer}");
    assert_eq!(active(&answer), ["1.1.0"]);
    let ready = node.get("/readyz").await;
    assert_eq!(ready["ready"], true, "{ready}");

    // Back to what works, and a shadow model.
    packages.done(&["rollback", "embolism"]);
    node.until("/api/v1/models", |answer| answer["refused"].is_null()).await;
    packages.done(&["shadow", "fixture-embolism/1.0.0"]);
    node.until("/api/v1/models", |answer| answer["shadow"]["package"] == "fixture-embolism/1.0.0").await;
    node.push(&studies[4]);
    let last = node.until(&path_of(&studies[4]), |study| study["series"][0]["shadow"][0].is_object()).await;
    let series = &last["series"][0];
    assert_eq!((version(series).as_str(), version(&series["shadow"][0]).as_str()), ("1.1.0", "1.0.0"));
    assert_eq!(series["probability"], series["shadow"][0]["probability"], "the same networks under two versions");

    for study in &studies {
        let series = node.analysed(study).await;
        assert_eq!(series["attempts"], 1, "no attempt was lost: {series}");
        assert!(["1.0.0", "1.1.0"].contains(&version(&series).as_str()));
        let results = series["results"].as_array().expect("results");
        let kinds: Vec<&Value> = results.iter().map(|result| &result["kind"]).collect();
        assert_eq!(kinds.iter().filter(|kind| **kind == "sr").count(), 1, "{kinds:?}");
        let held = node.get(&format!("/dicomweb/studies/{}/instances?includefield=00080060", name_of(study))).await;
        let made = held.as_array().expect("instances").iter().filter(|one| one["00080060"]["Value"][0] != "CT").count();
        assert_eq!(made, results.len(), "one result set, and none of the shadow model");
    }
    let table = node.client.get(format!("{}/api/v1/shadow?format=csv", node.http)).send().await.expect("answer");
    let table = table.text().await.expect("text");
    assert!(table.lines().count() == 2 && table.contains(&name_of(&studies[4])), "{table}");
    assert!(node.process.try_wait().expect("state").is_none(), "the node still runs");
}

/// Versions of the classifier that are active, as the API says.
fn active(answer: &Value) -> Vec<&str> {
    let models = answer["models"].as_array().map(Vec::as_slice).unwrap_or_default();
    let active = models.iter().filter(|model| model["active"] == true && model["name"] == "fixture-embolism");
    active.filter_map(|model| model["version"].as_str()).collect()
}
