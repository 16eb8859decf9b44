//! Promises of the node stand in the book only with tests that exist.

use std::fs;
use std::path::Path;

use super::ROOT;

#[test]
fn each_promise_names_a_test_that_exists() {
    let page = fs::read_to_string(Path::new(ROOT).join("docs/promises.md")).expect("the page");
    let rows: Vec<&str> = page.lines().filter(|line| line.starts_with('|') && line.contains("](../")).collect();
    assert!(rows.len() >= 8, "{rows:?}");
    for row in rows {
        let names: Vec<&str> = row.split('`').skip(1).step_by(2).filter(|name| name.contains('_')).collect();
        let links = row.split("](../").skip(1).filter_map(|link| link.split(')').next());
        let sources: String =
            links.map(|link| fs::read_to_string(Path::new(ROOT).join(link)).expect("the file of a test")).collect();
        assert!(!names.is_empty(), "no test is named: {row}");
        for name in names {
            assert!(
                sources.contains(&format!("fn {name}(")) || sources.contains(&format!("def {name}(")),
                "{name} is no test of the files that its row names"
            );
        }
    }
}
