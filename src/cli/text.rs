//! Text for the terminal: made harmless, shortened, aligned.
//!
//! What agents and callers write may hold escape sequences that repaint the screen, set the window's title or hide
//! text. Everything that comes over the wire goes through [`sanitize`] or [`one_line`] before a person sees it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use owo_colors::{OwoColorize as _, Style};

use crate::proto::{
    a2a::{Message, Part, TaskState, part::Content},
    well_known::Timestamp,
};

/// The text without escape sequences, control characters (other than newline and tab) and marks that reorder text.
pub(super) fn sanitize(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let after = &rest[c.len_utf8()..];
        rest = match c {
            '\u{1b}' => skip_escape(after),
            '\u{9b}' => skip_control_sequence(after),
            '\u{90}' | '\u{98}' | '\u{9d}'..='\u{9f}' => skip_string(after),
            _ => {
                let reorders = matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
                if c == '\n' || c == '\t' || !(c.is_control() || reorders) {
                    clean.push(c);
                }
                after
            }
        };
    }
    clean
}

/// What follows an escape sequence (ECMA-48) whose ESC has been read.
fn skip_escape(text: &str) -> &str {
    match text.chars().next() {
        Some('[') => skip_control_sequence(&text[1..]),
        Some(']' | 'P' | 'X' | '^' | '_') => skip_string(&text[1..]),
        Some(' '..='~') => skip_final(text.trim_start_matches(|c| matches!(c, ' '..='/')), '0'),
        _ => text,
    }
}

fn skip_control_sequence(text: &str) -> &str {
    skip_final(text.trim_start_matches(|c| matches!(c, ' '..='?')), '@')
}

fn skip_final(text: &str, first: char) -> &str {
    text.strip_prefix(|c| (first..='~').contains(&c)).unwrap_or(text)
}

/// What follows a control string (a window title, a link). One that does not end is text after all.
fn skip_string(text: &str) -> &str {
    let ends = ["\u{7}", "\u{1b}\\", "\u{9c}"];
    let end = ends.iter().filter_map(|end| text.find(end).map(|at| at + end.len())).min();
    &text[end.unwrap_or(0)..]
}

/// The text made harmless, on one line, of at most `width` characters.
pub(super) fn one_line(text: &str, width: usize) -> String {
    let words = sanitize(text).split_whitespace().collect::<Vec<_>>().join(" ");
    match words.char_indices().nth(width) {
        Some(_) => words.chars().take(width.saturating_sub(1)).chain(['…']).collect(),
        None => words,
    }
}

/// A part as text, made harmless. What is no text is described in brackets.
pub(super) fn part(part: &Part) -> String {
    let label = |what: &str| {
        let words = [what, part.filename.as_str(), part.media_type.as_str()];
        words.into_iter().filter(|word| !word.is_empty()).map(|word| one_line(word, 200)).collect::<Vec<_>>().join(" ")
    };
    match &part.content {
        Some(Content::Text(text)) => sanitize(text),
        Some(Content::Raw(bytes)) => format!("[{}, {}]", label("file"), size(bytes.len())),
        Some(Content::Url(url)) => format!("[{}: {}]", label("link"), one_line(url, 2000)),
        Some(Content::Data(data)) => sanitize(&serde_json::to_string_pretty(data).unwrap_or_default()),
        None => format!("[{}]", label("empty part")),
    }
}

/// A message's parts, one after the other.
pub(super) fn message(message: &Message) -> String {
    one_below_the_other(message.parts.iter().map(part))
}

/// `12 bytes`, `3.4 KiB`, `5.6 MiB`.
fn size(bytes: usize) -> String {
    let bytes = bytes as f64;
    if bytes < 1024.0 {
        format!("{bytes} bytes")
    } else if bytes < 1024.0 * 1024.0 {
        format!("{:.1} KiB", bytes / 1024.0)
    } else {
        format!("{:.1} MiB", bytes / (1024.0 * 1024.0))
    }
}

/// A state as people write it: `input-required`.
pub(super) fn state_name(state: TaskState) -> &'static str {
    match state {
        TaskState::Unspecified => "unknown",
        TaskState::Submitted => "submitted",
        TaskState::Working => "working",
        TaskState::Completed => "completed",
        TaskState::Failed => "failed",
        TaskState::Canceled => "canceled",
        TaskState::InputRequired => "input-required",
        TaskState::Rejected => "rejected",
        TaskState::AuthRequired => "auth-required",
    }
}

/// A state's colour.
pub(super) fn state_style(state: TaskState) -> Style {
    match state {
        TaskState::Completed => Style::new().green(),
        TaskState::Failed | TaskState::Rejected => Style::new().red(),
        TaskState::Canceled => Style::new().yellow(),
        TaskState::InputRequired | TaskState::AuthRequired => Style::new().magenta().bold(),
        TaskState::Working => Style::new().cyan(),
        TaskState::Submitted | TaskState::Unspecified => Style::new().dimmed(),
    }
}

/// A state in its colour.
pub(super) fn state(state: TaskState) -> String {
    state_name(state).style(state_style(state)).to_string()
}

/// The present time.
pub(super) fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    Timestamp::from_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

/// Reads a duration before now, or a time.
pub(super) fn parse_when(text: &str) -> Result<Timestamp, String> {
    let ago = humantime::parse_duration(text).ok().and_then(|duration| SystemTime::now().checked_sub(duration));
    let ago = ago.and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    ago.and_then(|since| i64::try_from(since.as_millis()).ok())
        .map(Timestamp::from_millis)
        .or_else(|| Timestamp::parse(text))
        .ok_or_else(|| "must be a duration such as 30m, 2h or 3d, or a time such as 2026-01-02T03:04:05Z".to_owned())
}

/// How far a time is from now, in its largest unit: `5m ago`, `in 2h`.
pub(super) fn relative(time: Timestamp, now: Timestamp) -> String {
    let seconds = now.millis().saturating_sub(time.millis()) / 1000;
    let (unit, name) = match seconds.unsigned_abs() {
        0 => return "now".to_owned(),
        1..60 => (1, "s"),
        60..3600 => (60, "m"),
        3600..86_400 => (3600, "h"),
        _ => (86_400, "d"),
    };
    let count = seconds.unsigned_abs() / unit;
    if seconds > 0 { format!("{count}{name} ago") } else { format!("in {count}{name}") }
}

/// A table's cell: text without line breaks, and how it looks.
pub(super) struct Cell(pub(super) String, pub(super) Style);

/// Rows under a heading, the columns as wide as their widest cell.
pub(super) fn table<const N: usize>(heading: [&str; N], rows: Vec<[Cell; N]>) -> String {
    let heading = heading.map(|name| Cell(name.to_owned(), Style::new().dimmed()));
    let rows: Vec<_> = std::iter::once(heading).chain(rows).collect();
    let width = |n: usize| rows.iter().map(|row| row[n].0.chars().count()).max().unwrap_or(0);
    let widths: [usize; N] = std::array::from_fn(width);
    let mut text = String::new();
    for row in &rows {
        for (n, Cell(cell, style)) in row.iter().enumerate() {
            let padding = if n + 1 == N { 0 } else { widths[n] + 2 - cell.chars().count() };
            text.push_str(&format!("{}{:padding$}", cell.style(*style), ""));
        }
        text.push('\n');
    }
    text
}

/// Texts, each beginning on a line of its own.
pub(super) fn one_below_the_other(texts: impl Iterator<Item = String>) -> String {
    texts.fold(String::new(), |mut all, text| {
        if !all.is_empty() && !all.ends_with('\n') {
            all.push('\n');
        }
        all + &text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escape_sequences_and_control_characters_are_removed() {
        for (dirty, clean) in [
            ("plain\n\ttext é 漢", "plain\n\ttext é 漢"),
            ("\u{1b}[31mred\u{1b}[0m", "red"),
            ("\u{1b}]0;title\u{7}x", "x"),
            ("\u{1b}]8;;http://evil\u{1b}\\link\u{1b}]8;;\u{1b}\\", "link"),
            ("\u{1b}Pq#0\u{1b}\\x", "x"),
            ("\u{9b}2Jx\u{9d}0;t\u{9c}y", "xy"),
            ("\u{1b}(Bx\u{1b}7y\u{1b}cz", "xyz"),
            ("a\u{8}b\rc\u{0}d\u{7f}e\u{85}f", "abcdef"),
            ("one\r\ntwo", "one\ntwo"),
            ("\u{202e}abc\u{2066}", "abc"),
            ("\u{1b}]never ends", "never ends"),
            ("\u{1b}[", ""),
            ("\u{1b}é", "é"),
            ("\u{1b}", ""),
        ] {
            assert_eq!(sanitize(dirty), clean, "{dirty:?}");
        }
    }

    #[test]
    fn one_line_folds_and_cuts() {
        assert_eq!(one_line(" a\n b\t\u{1b}[1mc ", 10), "a b c");
        assert_eq!(one_line("äöüßx", 5), "äöüßx");
        assert_eq!(one_line("äöüßxy", 5), "äöüß…");
    }

    #[test]
    fn times_are_told_in_their_largest_unit() {
        let now = Timestamp::from_millis(10_000_000_000);
        for (seconds, told) in [
            (0, "now"),
            (59, "59s ago"),
            (60, "1m ago"),
            (7_200, "2h ago"),
            (90_000, "1d ago"),
            (-5, "in 5s"),
            (-3_600, "in 1h"),
        ] {
            assert_eq!(relative(Timestamp::from_millis(now.millis() - seconds * 1000), now), told);
        }
    }

    #[test]
    fn when_is_a_duration_or_a_time() {
        let hour = now().millis() - parse_when("1h").unwrap().millis();
        assert!((3_590_000..=3_610_000).contains(&hour), "{hour}");
        assert_eq!(parse_when("2026-01-02T03:04:05Z").unwrap().to_string(), "2026-01-02T03:04:05.000Z");
        for bad in ["", "yesterday", "5", "9999999y"] {
            assert!(parse_when(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn tables_align_by_what_is_seen() {
        let row = |a: &str, b: &str| [Cell(a.to_owned(), Style::new().red()), Cell(b.to_owned(), Style::new())];
        let text = table(["A", "B"], vec![row("é", "1"), row("long", "2")]);
        let plain = anstream::adapter::strip_str(&text).to_string();
        assert_eq!(plain, "A     B\né     1\nlong  2\n");
    }
}
