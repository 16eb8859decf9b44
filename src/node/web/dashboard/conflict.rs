//! A study in conflict on the page: what is stored against what came, and what a person can do.

use maud::{Markup, html};

use crate::node::store::{DifferingAttribute, ProposedCorrection, StudyConflict};

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
                p.identity.quiet { "Study " a href=(format!("api/v1/studies/{study}")) { (study) } }
                @if conflict.proposals.len() > 1 {
                    p { "What came contradicts itself: correct the study as one of these has it, or keep what is stored." }
                }
                @for proposal in &conflict.proposals { (proposed(conflict, proposal)) }
                @if conflict.held > 0 {
                    form.actions method="post" action=(format!("api/v1/studies/{study}/conflict")) {
                        button name="decision" value="refuse" { "Keep what is stored" }
                    }
                }
                @if conflict.refused > 0 {
                    (table(&conflict.differing))
                    p {
                        "Other images came under identifiers that are in use. The stored ones stand. If those are wrong, "
                        "reject them and have the right ones sent again."
                    }
                }
                p.identity { "Last " (conflict.origin) ", " (conflict.last_at.strftime("%Y-%m-%d %H:%M")) " UTC" }
            }
        }
    }
}

fn proposed(conflict: &StudyConflict, proposal: &ProposedCorrection) -> Markup {
    html! {
        (table(&proposal.differing))
        p { (advice(proposal)) }
        form.actions method="post" action=(format!("api/v1/studies/{}/conflict", conflict.study_instance_uid)) {
            input type="hidden" name="proposal" value=(proposal.id);
            button name="decision" value="accept" { "Correct the study" }
        }
    }
}

fn table(differing: &[DifferingAttribute]) -> Markup {
    html! {
        table.differing {
            thead { tr { th { "Attribute" } th { "Stored" } th { "Received" } } }
            tbody {
                @for attribute in differing {
                    tr { th { (attribute.attribute) } td { (attribute.stored) } td { (attribute.received) } }
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

fn advice(proposal: &ProposedCorrection) -> String {
    match proposal.outstanding {
        0 => format!("{}: every object of the study.", objects(proposal.held)),
        outstanding => format!(
            "{} came so, {} of the study did not. Have the whole study sent, then correct it. Objects that did not come are \
             written anew if they said the same as those that came.",
            objects(proposal.held),
            objects(outstanding)
        ),
    }
}

fn objects(count: u64) -> String {
    if count == 1 { "1 object".to_owned() } else { format!("{count} objects") }
}
