//! `deploy/training`: jobs of a cluster take the cores and the memory that they ask for, and no more.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

fn deployed(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/training").join(name)
}

fn script(path: &Path, text: &str) {
    fs::write(path, format!("#!/bin/sh\n{text}\n")).expect("a script");
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("permissions");
}

/// The jobs that `slurm.sh` submits, an argument a line, with a `pe-node` that tells its threads.
fn submitted(folder: &Path) -> Vec<Vec<String>> {
    let jobs = folder.join("jobs");
    fs::create_dir(&jobs).expect("a folder");
    script(
        &folder.join("sbatch"),
        &format!("printf '%s\\n' \"$@\" > \"{0}/$(ls {0} | wc -l)\"; echo 1", jobs.display()),
    );
    script(&folder.join("pe-node"), "echo $RAYON_NUM_THREADS $PE_NODE__ONNXRUNTIME__THREADS");
    let path = format!("{}:{}", folder.display(), std::env::var("PATH").unwrap_or_default());
    let done = Command::new(deployed("slurm.sh"))
        .args([concat!(env!("CARGO_MANIFEST_DIR"), "/configs/train.toml"), "4"])
        .env("PATH", path)
        .env("PE_NODE", folder.join("pe-node"))
        .env("PE_NODE_SBATCH_FIT", "--cpus-per-task=16 --mem=64G")
        .output()
        .expect("the script runs");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let read = |number: usize| fs::read_to_string(jobs.join(number.to_string())).expect("a job");
    (0..8).map(|number| read(number).lines().map(str::to_owned).collect()).collect()
}

#[test]
fn slurm_jobs_use_the_cores_that_they_were_given() {
    let folder = tempfile::tempdir().expect("temporary folder");
    for (number, job) in submitted(folder.path()).iter().enumerate() {
        // Of options that are given twice, the last one counts.
        let last = |name: &str| job.iter().rev().find_map(|option| option.strip_prefix(name));
        let expected = if number < 5 { ("2", "8G") } else { ("16", "64G") };
        assert_eq!((last("--cpus-per-task="), last("--mem=")), (Some(expected.0), Some(expected.1)), "{job:?}");
        let mut shell = Command::new("sh");
        shell.args(["-c", last("--wrap=").expect("a command")]).env("SLURM_CPUS_PER_TASK", "3");
        let said = shell.output().expect("the command runs").stdout;
        assert_eq!(String::from_utf8_lossy(&said), "3 3\n", "{job:?}");
    }
}

#[test]
fn pods_have_a_limit_and_as_many_threads() {
    let text = fs::read_to_string(deployed("kubernetes.yaml")).expect("the job");
    for part in [
        "requests: {cpu: \"2\",",
        "limits: {cpu: \"2\", memory: ",
        "{name: RAYON_NUM_THREADS, value: \"2\"}",
        "{name: PE_NODE__ONNXRUNTIME__THREADS, value: \"2\"}",
    ] {
        assert!(text.contains(part), "{part} is missing");
    }
}
