//! Texts that people read on a terminal or in a file of logs, whatever a peer has put into them.

use std::borrow::Cow;

/// The text without anything that a terminal or a reader of lines would act on. Control characters (line ends and escape
/// sequences among them), the separators of lines and paragraphs, and marks that turn the direction of writing are shown
/// as `\u{1b}`: so no peer can forge a second log line, or colour, move or hide what stands beside its words.
pub fn printable(text: &str) -> Cow<'_, str> {
    if !text.contains(acts) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        if acts(character) {
            shown.extend(character.escape_unicode());
        } else {
            shown.push(character);
        }
    }
    Cow::Owned(shown)
}

fn acts(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_reader_would_act_on_is_shown_instead() {
        assert_eq!(printable("a\nb\r\u{1b}[31mc\0\u{7f}\u{9b}"), r"a\u{a}b\u{d}\u{1b}[31mc\u{0}\u{7f}\u{9b}");
        assert_eq!(printable("\u{2028}x\u{202e}y\u{2066}"), r"\u{2028}x\u{202e}y\u{2066}");
    }

    #[test]
    fn what_only_stands_there_is_left_alone() {
        let text = "Größe 日本 \\ \"quoted\" \u{a0}";
        assert!(matches!(printable(text), Cow::Borrowed(same) if same == text));
    }
}
