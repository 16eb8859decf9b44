//! Pieces that all parts of the page share.

use maud::{Markup, html};

use crate::engine::models::manifest::Metric;

/// A number as the page shows it: counts whole, the rest with three digits.
pub(super) fn number(value: f64) -> String {
    if value.fract() == 0.0 && value.abs() >= 2.0 { format!("{value:.0}") } else { format!("{value:.3}") }
}

/// The interval of a figure; nothing where it has none.
pub(super) fn interval(metric: &Metric) -> String {
    metric.interval.map_or_else(String::new, |[low, high]| format!("{low:.3} to {high:.3}"))
}

/// A table; cells that begin with a digit stand to the right.
pub(super) fn table(head: &[String], rows: Vec<Vec<String>>) -> Markup {
    let is_number = |cell: &str| {
        cell.trim_start_matches(['-', '+']).starts_with(|first: char| first.is_ascii_digit()) && !cell.contains('.')
            || cell.parse::<f64>().is_ok()
            || cell.contains(" to ")
    };
    html! {
        div.wide {
            table {
                tr { @for cell in head { th { (cell) } } }
                @for row in rows {
                    tr {
                        @for (place, cell) in row.iter().enumerate() {
                            td.number[place > 0 && is_number(cell)] { (cell) }
                        }
                    }
                }
            }
        }
    }
}
