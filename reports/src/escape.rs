//! Text from outside, made safe for where it is written.
//!
//! File names, findings and evidence come from captures and from peers, so every one of them may
//! try to be markup, a table column or a terminal command. [`visible`] comes first everywhere: what
//! it returns is one line without control characters, which HTML and XML then escape in their usual
//! way, a terminal may print as it is, and [`markdown_code`] wraps for Markdown.

use std::borrow::Cow;
use std::fmt::Write as _;

/// The most characters that [`visible`] keeps of one string.
pub const MAX_CHARS: usize = 2_000;

/// The text with everything that steers instead of shows made visible: control characters become
/// their pictures (U+2400 and on), so that ESC can start no sequence and a newline no line;
/// C1 controls, marks that change the direction of writing, line separators and noncharacters become
/// U+FFFD. Past [`MAX_CHARS`] characters it ends in `…`.
#[must_use]
pub fn visible(text: &str) -> Cow<'_, str> {
    if text.len() <= MAX_CHARS && text.chars().all(|one| replacement(one).is_none()) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len().min(MAX_CHARS * 4));
    for (place, one) in text.chars().enumerate() {
        if place >= MAX_CHARS {
            out.push('…');
            break;
        }
        out.push(replacement(one).unwrap_or(one));
    }
    Cow::Owned(out)
}

fn replacement(one: char) -> Option<char> {
    match one {
        '\u{0}'..='\u{1f}' => char::from_u32(0x2400 + one as u32),
        '\u{7f}' => Some('\u{2421}'),
        '\u{80}'..='\u{9f}'
        | '\u{61c}'
        | '\u{200b}'..='\u{200f}'
        | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}'
        | '\u{feff}'
        | '\u{fff9}'..='\u{fffb}'
        | '\u{e0000}'..='\u{e007f}' => Some('\u{fffd}'),
        _ if one as u32 & 0xfffe == 0xfffe => Some('\u{fffd}'),
        _ => None,
    }
}

/// The text as prose of GitHub Markdown if it is nothing but words and harmless punctuation, and as
/// [`markdown_code`] otherwise: what could mention, link, format or split a cell is never prose.
#[must_use]
pub fn markdown_prose(text: &str) -> String {
    let harmless = |one: char| one.is_alphanumeric() || " .,;()'’“”%/+=–—?-".contains(one);
    let words = text.starts_with(char::is_alphanumeric) && !text.to_lowercase().contains("www.");
    if words && text.chars().all(harmless) && text.chars().count() <= MAX_CHARS {
        text.to_owned()
    } else {
        markdown_code(text)
    }
}

/// The text as inline code of GitHub Markdown, good in prose and in a cell of a table.
///
/// A fence longer than any run of backticks inside holds everything but a pipe, which splits cells
/// even within code: such text becomes a `<code>` element of entities instead.
#[must_use]
pub fn markdown_code(text: &str) -> String {
    let text = visible(text);
    if text.trim().is_empty() {
        return "–".into();
    }
    if text.contains('|') {
        let mut out = String::from("<code>");
        for one in text.chars() {
            if one.is_ascii_punctuation() {
                // Writing to a String cannot fail.
                let _ = write!(out, "&#{};", one as u32);
            } else {
                out.push(one);
            }
        }
        return out + "</code>";
    }
    let longest = text.split(|one| one != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(longest + 1);
    let edge = |one: Option<char>| matches!(one, Some('`' | ' '));
    let pad = if edge(text.chars().next()) || edge(text.chars().last()) { " " } else { "" };
    format!("{fence}{pad}{text}{pad}{fence}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_steers_a_terminal_becomes_visible() {
        assert_eq!(visible("a\x1b[31mred\r\n"), "a␛[31mred␍␊");
        assert_eq!(visible("\u{9b}31m \u{202e}gpj"), "\u{fffd}31m \u{fffd}gpj");
        assert_eq!(visible("Grüße, 你好"), "Grüße, 你好");
    }

    #[test]
    fn long_text_is_cut() {
        let cut = visible(&"x".repeat(1_000_000)).into_owned();
        assert_eq!(cut.chars().count(), MAX_CHARS + 1);
    }

    #[test]
    fn code_keeps_backticks_and_pipes_inside() {
        assert_eq!(markdown_code("a`b"), "``a`b``");
        assert_eq!(markdown_code("`"), "`` ` ``");
        assert_eq!(markdown_code("a|b"), "<code>a&#124;b</code>");
        assert_eq!(markdown_code(""), "–");
    }

    #[test]
    fn prose_is_only_what_cannot_do_anything() {
        assert_eq!(markdown_prose("RFC 3550, section 6.4.1"), "RFC 3550, section 6.4.1");
        for text in
            ["@everyone", "a *b*", "#1", "www.example.org", "http://a", "a\nb", "a|b", "$x$"]
        {
            assert!(markdown_prose(text).contains(['`', '<']), "{text}");
        }
    }
}
