//! What people read, kept word for word.

use callrig_reports::render::{markdown, text};

use crate::sample;

#[test]
fn the_summary_reads_like_this() {
    insta::assert_snapshot!("summary-md", markdown::render(&sample::of_size(2, 11, 20)));
}

#[test]
fn the_terminal_reads_like_this() {
    let report = sample::of_size(2, 11, 20);
    insta::assert_snapshot!("terminal-100", text::render(&report, text::Options::default()));
    let narrow = text::Options { width: 60, color: false };
    insta::assert_snapshot!("terminal-60", text::render(&report, narrow));
}

#[test]
fn colour_changes_nothing_but_colour() {
    let report = sample::of_size(2, 11, 20);
    let plain = text::render(&report, text::Options { width: 80, color: false });
    let mut coloured = text::render(&report, text::Options { width: 80, color: true });
    assert!(coloured.contains('\u{1b}'));
    while let Some(start) = coloured.find('\u{1b}') {
        let length = coloured[start..].find('m').expect("every sequence ends");
        coloured.replace_range(start..=start + length, "");
    }
    let trimmed = |text: &str| text.lines().map(str::trim_end).collect::<Vec<_>>().join("\n");
    assert_eq!(trimmed(&plain), trimmed(&coloured));
}

#[test]
fn no_line_is_wider_than_the_terminal() {
    use unicode_width::UnicodeWidthStr as _;
    let report = sample::sample();
    for width in [40, 60, 80, 200] {
        for line in text::render(&report, text::Options { width, color: false }).lines() {
            assert!(line.width() <= width, "{width}: {line:?}");
        }
    }
}
