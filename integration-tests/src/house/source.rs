//! Reads Rust text far enough to judge it: words and signs without comments, literals and test code, and the paths they form.

/// A word or a sign, and its line, counted from 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// An identifier, a number, or one sign; `::` is one token.
    pub text: String,
    /// Where it is.
    pub line: usize,
}

/// `tokio::time::sleep`, as words, and where it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Path {
    /// The words between the double colons.
    pub words: Vec<String>,
    /// Where it is.
    pub line: usize,
}

/// A Rust file without its comments, literals and test code.
#[derive(Debug, Default)]
pub struct Source {
    /// What is left, in order.
    pub tokens: Vec<Token>,
    /// Modules in files of their own that are compiled for tests only.
    pub test_modules: Vec<String>,
}

impl Source {
    /// Reads a file's text.
    pub fn read(text: &str) -> Self {
        let mut source = Self::default();
        let tokens = tokens(text);
        let mut at = 0;
        while at < tokens.len() {
            match test_item(&tokens, at) {
                Some((end, module)) => {
                    source.test_modules.extend(module);
                    at = end;
                }
                None => {
                    source.tokens.push(tokens[at].clone());
                    at += 1;
                }
            }
        }
        source
    }

    /// Every path that is named, in `use` groups too: `use std::{fs, net::TcpStream}` names `std::fs` and `std::net::TcpStream`.
    pub fn paths(&self) -> Vec<Path> {
        let mut paths = Vec::new();
        let mut at = 0;
        while at < self.tokens.len() {
            if self.tokens[at].text == "use" {
                at = self.use_tree(at + 1, &[], &mut paths);
            } else if is_word(&self.tokens[at].text) {
                at = self.plain_path(at, &mut paths);
            } else {
                at += 1;
            }
        }
        paths
    }

    fn text(&self, at: usize) -> &str {
        self.tokens.get(at).map_or("", |token| &token.text)
    }

    fn plain_path(&self, mut at: usize, paths: &mut Vec<Path>) -> usize {
        let line = self.tokens[at].line;
        let mut words = vec![self.text(at).to_owned()];
        at += 1;
        while self.text(at) == "::" && is_word(self.text(at + 1)) {
            words.push(self.text(at + 1).to_owned());
            at += 2;
        }
        paths.push(Path { words, line });
        at
    }

    /// Reads one branch of a `use` tree from `at` and returns where it ends.
    fn use_tree(&self, mut at: usize, prefix: &[String], paths: &mut Vec<Path>) -> usize {
        let mut words = prefix.to_vec();
        let line = self.tokens.get(at).map_or(0, |token| token.line);
        loop {
            match self.text(at) {
                "::" => at += 1,
                "{" => {
                    at += 1;
                    while !matches!(self.text(at), "}" | "") {
                        at = self.use_tree(at, &words, paths);
                        if self.text(at) == "," {
                            at += 1;
                        }
                    }
                    return at + 1;
                }
                "as" => at += 2,
                word if is_word(word) || word == "*" => {
                    words.push(word.to_owned());
                    at += 1;
                }
                _ => {
                    paths.push(Path { words, line });
                    return at;
                }
            }
        }
    }
}

fn is_word(text: &str) -> bool {
    text.starts_with(|first: char| first == '_' || first.is_alphabetic())
}

/// If an item for tests only begins at `at`: where it ends, and the module it declares if that is in a file of its own.
fn test_item(tokens: &[Token], at: usize) -> Option<(usize, Option<String>)> {
    let text = |at: usize| tokens.get(at).map_or("", |token| token.text.as_str());
    if text(at) != "#" || text(at + 1) != "[" {
        return None;
    }
    let close = matching(tokens, at + 1, "[", "]")?;
    let words: Vec<&str> = (at + 2..close).map(text).collect();
    let for_tests = match words.as_slice() {
        ["test", ..] | ["tokio", "::", "test", ..] => true,
        ["cfg", "(", rest @ ..] => rest.contains(&"test") && !rest.contains(&"not"),
        _ => false,
    };
    if !for_tests {
        return None;
    }
    // The item ends with its block, or with a semicolon before any block.
    let mut end = close + 1;
    while end < tokens.len() {
        match text(end) {
            ";" => {
                let declares = text(end.wrapping_sub(2)) == "mod";
                return Some((end + 1, declares.then(|| text(end - 1).to_owned())));
            }
            "{" => return Some((matching(tokens, end, "{", "}")? + 1, None)),
            "(" => end = matching(tokens, end, "(", ")")? + 1,
            "[" => end = matching(tokens, end, "[", "]")? + 1,
            _ => end += 1,
        }
    }
    None
}

fn matching(tokens: &[Token], open_at: usize, open: &str, close: &str) -> Option<usize> {
    let mut depth = 0;
    for (place, token) in tokens.iter().enumerate().skip(open_at) {
        if token.text == open {
            depth += 1;
        } else if token.text == close {
            depth -= 1;
            if depth == 0 {
                return Some(place);
            }
        }
    }
    None
}

fn tokens(text: &str) -> Vec<Token> {
    let mut reader = Reader { rest: text, line: 1 };
    let mut tokens = Vec::new();
    while let Some(first) = reader.rest.chars().next() {
        if reader.skip_silence(first) || reader.skip_literal(first) {
            continue;
        }
        let length = match first {
            _ if first == '_' || first.is_alphanumeric() => word_length(reader.rest),
            ':' if reader.rest.starts_with("::") => 2,
            _ => first.len_utf8(),
        };
        tokens.push(Token { text: reader.rest[..length].to_owned(), line: reader.line });
        reader.advance(length);
    }
    tokens
}

fn word_length(text: &str) -> usize {
    text.find(|next: char| next != '_' && !next.is_alphanumeric()).unwrap_or(text.len())
}

struct Reader<'a> {
    rest: &'a str,
    line: usize,
}

impl Reader<'_> {
    fn advance(&mut self, length: usize) {
        self.line += self.rest[..length].matches('\n').count();
        self.rest = &self.rest[length..];
    }

    /// Spaces and comments.
    fn skip_silence(&mut self, first: char) -> bool {
        if first.is_whitespace() {
            self.advance(first.len_utf8());
        } else if self.rest.starts_with("//") {
            self.advance(self.rest.find('\n').unwrap_or(self.rest.len()));
        } else if self.rest.starts_with("/*") {
            self.skip_block_comment();
        } else {
            return false;
        }
        true
    }

    fn skip_block_comment(&mut self) {
        let mut depth = 0;
        loop {
            if self.rest.starts_with("/*") {
                depth += 1;
                self.advance(2);
            } else if self.rest.starts_with("*/") {
                depth -= 1;
                self.advance(2);
            } else if let Some(next) = self.rest.chars().next() {
                self.advance(next.len_utf8());
            }
            if depth == 0 || self.rest.is_empty() {
                return;
            }
        }
    }

    /// Texts, characters and lifetimes.
    fn skip_literal(&mut self, first: char) -> bool {
        let prefix = self.rest.find(|next: char| !matches!(next, 'b' | 'c' | 'r')).unwrap_or(0);
        let raw = self.rest[..prefix].contains('r');
        let after = &self.rest[prefix..];
        let hashes = if raw { after.len() - after.trim_start_matches('#').len() } else { 0 };
        if prefix <= 2 && after[hashes..].starts_with('"') {
            self.advance(prefix + hashes + 1);
            if raw {
                let end = format!("\"{}", "#".repeat(hashes));
                self.advance(self.rest.find(&end).map_or(self.rest.len(), |found| found + end.len()));
            } else {
                self.skip_escaped('"');
            }
            return true;
        }
        if first == '\'' || (first == 'b' && after.starts_with('\'') && prefix == 1) {
            let open = self.rest.find('\'').unwrap_or(0) + 1;
            let mut inside = self.rest[open..].chars();
            let is_character = matches!((inside.next(), inside.next()), (Some('\\'), _) | (Some(_), Some('\'')));
            self.advance(open);
            if is_character {
                self.skip_escaped('\'');
            } else {
                self.advance(word_length(self.rest));
            }
            return true;
        }
        false
    }

    fn skip_escaped(&mut self, end: char) {
        let mut characters = self.rest.char_indices();
        while let Some((place, next)) = characters.next() {
            if next == '\\' {
                characters.next();
            } else if next == end {
                return self.advance(place + next.len_utf8());
            }
        }
        self.advance(self.rest.len());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        Source::read(text).tokens.into_iter().map(|token| token.text).collect()
    }

    #[test]
    fn comments_and_literals_say_nothing() {
        let text = r##"a /* tokio /* nested */ still */ b // rand
            "std::fs" r#"a " quote"# 'x' '\'' b'\n' '"' c<'life> "esc \" aped" br"raw" d"##;
        assert_eq!(words(text), ["a", "b", "c", "<", ">", "d"]);
    }

    #[test]
    fn test_code_is_left_out_and_test_modules_are_named() {
        let text = "fn a() {} #[cfg(test)] mod tests { fn b() { x.unwrap() } } #[test] fn c() {} #[cfg(test)] mod sample; \
                    #[cfg(not(test))] fn d() {} #[cfg(all(test, unix))] use e;";
        let source = Source::read(text);
        let kept: Vec<&str> =
            source.tokens.iter().map(|token| token.text.as_str()).filter(|word| word.len() == 1 && is_word(word)).collect();
        assert_eq!(kept, ["a", "d"]);
        assert_eq!(source.test_modules, ["sample"]);
    }

    #[test]
    fn paths_are_found_in_groups_and_in_expressions() {
        let text = "use std::{fs, net::{TcpStream as Stream, *}, time};\nlet x = tokio::time::sleep(y);";
        let paths = Source::read(text).paths();
        let shown: Vec<String> = paths.iter().map(|path| format!("{}:{}", path.line, path.words.join("::"))).collect();
        assert_eq!(
            shown,
            ["1:std::fs", "1:std::net::TcpStream", "1:std::net::*", "1:std::time", "2:let", "2:x", "2:tokio::time::sleep", "2:y"]
        );
    }
}
