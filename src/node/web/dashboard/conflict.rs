//! A study in conflict on the page: what is stored against what came, and what a person can do.

use maud::{Markup, html};

use crate::node::store::StudyConflict;

/// All studies in conflict, with a heading; nothing if there are none.
pub(super) fn list(conflicts: &[StudyConflict]) -> Markup {
    html! {
        @if !conflicts.is_empty() {
            h2 { "Conflicts of identity (" (conflicts.len()) ")" }
            @for conflict in conflicts { (card(conflict)) }
        }
    }
}

fn card(conflict: &StudyConflict) -> Markup {
    let study = &conflict.study_instance_uid;
    html! {
        article.card.alarm[conflict.held > 0].warn[conflict.held == 0] {
            div {
                p.verdict.alarm[conflict.held > 0].warn[conflict.held == 0] { (headline(conflict)) }
                table.differing {
                    thead { tr { th { "Attribute" } th { "Stored" } th { "Received" } } }
                    tbody {
                        @for attribute in &conflict.differing {
                            tr { th { (attribute.attribute) } td { (attribute.stored) } td { (attribute.received) } }
                        }
                    }
                }
                p.identity { "Last " (conflict.origin) ", " (conflict.last_at.strftime("%Y-%m-%d %H:%M")) " UTC" }
                p.identity.quiet { "Study " a href=(format!("api/v1/studies/{study}")) { (study) } }
                p { (advice(conflict)) }
                @if conflict.held > 0 {
                    form.actions method="post" action=(format!("api/v1/studies/{study}/conflict")) {
                        button name="decision" value="accept" { "Correct the study" }
                        button name="decision" value="refuse" { "Keep what is stored" }
                    }
                }
            }
        }
    }
}

fn headline(conflict: &StudyConflict) -> String {
    match (conflict.held, conflict.refused) {
        (0, refused) => format!("{} refused: the identifier is that of another object", objects(refused)),
        (held, 0) => format!("{} held: patient or study differ", objects(held)),
        (held, refused) => format!("{} held, {} refused", objects(held), objects(refused)),
    }
}

fn advice(conflict: &StudyConflict) -> String {
    match (conflict.held, conflict.outstanding) {
        (0, _) => {
            "Other images came under identifiers that are in use. The stored ones stand. If those are wrong, reject \
                   them and have the right ones sent again."
                .to_owned()
        }
        (_, 0) => "Every object of the study came again. Correct the study, or keep what is stored.".to_owned(),
        (_, outstanding) => format!(
            "{} of the study did not come again. Have the whole study sent, then correct it; or keep what is stored.",
            objects(outstanding)
        ),
    }
}

fn objects(count: u64) -> String {
    if count == 1 { "1 object".to_owned() } else { format!("{count} objects") }
}
