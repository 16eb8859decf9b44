//! Lines of the log that cannot pass for several: what was received may hold line breaks and colours of a terminal, and
//! libraries quote it in their warnings.

use std::fmt::Write as _;
use std::io::{self, Write};

/// Writes each event as one line, its control characters escaped.
pub(super) struct OneLine<W>(pub(super) W);

impl<W: Write> Write for OneLine<W> {
    /// Takes a whole event, as the subscriber gives it.
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(event);
        let line = text.strip_suffix('\n').unwrap_or(&text);
        self.0.write_all(escaped(line).as_bytes())?;
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// The line with its end, as it goes out.
fn escaped(line: &str) -> String {
    let mut escaped = String::with_capacity(line.len() + 1);
    for character in line.chars() {
        // The last two separate lines and paragraphs in Unicode.
        if character.is_control() || matches!(character, '\u{2028}' | '\u{2029}') {
            let _ = write!(escaped, "{}", character.escape_default());
        } else {
            escaped.push(character);
        }
    }
    escaped + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_one_line_whatever_it_quotes() {
        let mut written = Vec::new();
        let event = "WARN charset `ISO_IR 6\n2026-01-01 INFO all is well\r\u{1b}[2K\u{85}\u{2028}` für Ä\n";
        OneLine(&mut written).write_all(event.as_bytes()).expect("write");
        let line = String::from_utf8(written).expect("text");
        assert_eq!(line, "WARN charset `ISO_IR 6\\n2026-01-01 INFO all is well\\r\\u{1b}[2K\\u{85}\\u{2028}` für Ä\n");
    }
}
