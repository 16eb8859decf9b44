//! Pieces that all pages and their parts share.

use maud::{DOCTYPE, Markup, PreEscaped, html};

use crate::engine::models::manifest::Metric;

const STYLE: &str = include_str!("style.css");

/// A page that needs no other file.
pub(super) fn page(title: &str, contents: Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (title) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                h1 { (title) }
                (contents)
            }
        }
    }
}

/// A number as the page shows it: counts whole, the rest with three digits.
pub(super) fn number(value: f64) -> String {
    if value.fract() == 0.0 && value.abs() >= 2.0 { format!("{value:.0}") } else { format!("{value:.3}") }
}

/// The interval of a metric; nothing where it has none.
pub(super) fn interval(metric: &Metric) -> String {
    metric.interval.map_or_else(String::new, |[low, high]| format!("{low:.3} to {high:.3}"))
}

/// True for what is right-aligned in a table: a number, an interval, a share, or nothing.
fn is_number(cell: &str) -> bool {
    let whole = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    cell.is_empty() || cell == "-" || whole(cell) || cell.parse::<f64>().is_ok() || cell.contains(" to ")
}

/// A table; after the first column, columns of numbers are right-aligned.
pub(super) fn table(head: &[String], rows: Vec<Vec<String>>) -> Markup {
    let of_numbers =
        |place: usize| place > 0 && rows.iter().filter_map(|row| row.get(place)).all(|cell| is_number(cell));
    let numbers: Vec<bool> = (0..head.len()).map(of_numbers).collect();
    let right = |place: usize| numbers.get(place) == Some(&true);
    html! {
        div.wide {
            table {
                tr { @for (place, cell) in head.iter().enumerate() { th.number[right(place)] { (cell) } } }
                @for row in &rows {
                    tr { @for (place, cell) in row.iter().enumerate() { td.number[right(place)] { (cell) } } }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_of_numbers_are_right_aligned_and_those_with_words_are_not() {
        let rows = [["AUROC", "0.9", "0.8 to 1.0", "12 mm"], ["F1", "-", "", "B60"]];
        let rows = rows.map(|row| row.map(str::to_owned).to_vec()).to_vec();
        let page = table(&["metric", "value", "interval", "note"].map(str::to_owned), rows).into_string();
        assert_eq!(page.matches("<td class=\"number\">").count(), 4);
        assert_eq!(page.matches("<th class=\"number\">").count(), 2);
        assert_eq!([2.0, 0.5, 1.0].map(number), ["2", "0.500", "1.000"]);
    }
}
