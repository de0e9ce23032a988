//! Server-sent events: bytes in, messages out. Pure, so that any split of the bytes can be tested.

/// The longest message that is kept; an event holds at most one payload.
const MESSAGE_BYTES_MAX: usize = 16 * 1024 * 1024;

/// One message of the stream.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Message {
    /// The kind; `message` if the server named none.
    pub(crate) event: String,
    /// The lines of data, joined by line breaks.
    pub(crate) data: String,
    /// The id, if this message named one.
    pub(crate) id: Option<String>,
}

/// Why the stream cannot be read any further.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("a message is larger than {} MiB", MESSAGE_BYTES_MAX / 1024 / 1024)]
pub(crate) struct TooLarge;

/// Collects bytes until messages are whole.
#[derive(Debug, Default)]
pub(crate) struct Parser {
    bytes: Vec<u8>,
    draft: Message,
    has_data: bool,
    /// A `\r` ended the last line; a `\n` that follows belongs to it.
    after_return: bool,
}

impl Parser {
    /// Takes the next bytes and gives the messages they complete. Comments (the server's heartbeats) give nothing.
    ///
    /// # Errors
    /// Refuses a message above the limit; the stream must then be abandoned.
    pub(crate) fn feed(&mut self, bytes: &[u8]) -> Result<Vec<Message>, TooLarge> {
        let mut messages = Vec::new();
        for &byte in bytes {
            match byte {
                b'\n' if self.after_return => self.after_return = false,
                b'\n' | b'\r' => {
                    self.after_return = byte == b'\r';
                    let line = std::mem::take(&mut self.bytes);
                    messages.extend(self.line(&String::from_utf8_lossy(&line)));
                }
                other => {
                    self.after_return = false;
                    if self.bytes.len() + self.draft.data.len() >= MESSAGE_BYTES_MAX {
                        return Err(TooLarge);
                    }
                    self.bytes.push(other);
                }
            }
        }
        Ok(messages)
    }

    fn line(&mut self, line: &str) -> Option<Message> {
        if line.is_empty() {
            let message = std::mem::take(&mut self.draft);
            let complete = std::mem::take(&mut self.has_data) || !message.event.is_empty();
            return complete.then(|| if message.event.is_empty() { Message { event: "message".to_owned(), ..message } } else { message });
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "data" => {
                if self.has_data {
                    self.draft.data.push('\n');
                }
                self.draft.data.push_str(value);
                self.has_data = true;
            }
            "event" => self.draft.event = value.to_owned(),
            "id" => self.draft.id = Some(value.to_owned()),
            // Comments and fields added later.
            _ => {}
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const STREAM: &str = ": heartbeat\n\nid: 1\nevent: task_accepted\ndata: {\"number\":1}\n\nid:2\r\ndata: two\r\ndata:lines\r\n\r\nevent: end\n\nid: 9\n\n";

    fn expected() -> Vec<Message> {
        vec![
            Message { event: "task_accepted".to_owned(), data: "{\"number\":1}".to_owned(), id: Some("1".to_owned()) },
            Message { event: "message".to_owned(), data: "two\nlines".to_owned(), id: Some("2".to_owned()) },
            Message { event: "end".to_owned(), data: String::new(), id: None },
        ]
    }

    #[test]
    fn messages_are_read_and_comments_are_not() {
        assert_eq!(Parser::default().feed(STREAM.as_bytes()), Ok(expected()));
    }

    #[test]
    fn an_endless_line_is_refused() {
        let mut parser = Parser::default();
        assert_eq!(parser.feed(&vec![b'x'; MESSAGE_BYTES_MAX]), Ok(Vec::new()));
        assert_eq!(parser.feed(b"x"), Err(TooLarge));
    }

    proptest! {
        #[test]
        fn any_split_of_the_bytes_gives_the_same_messages(cuts in prop::collection::vec(0..STREAM.len(), 0..12)) {
            let mut cuts = cuts;
            cuts.extend([0, STREAM.len()]);
            cuts.sort_unstable();
            let mut parser = Parser::default();
            let mut messages = Vec::new();
            for pair in cuts.windows(2) {
                messages.extend(parser.feed(&STREAM.as_bytes()[pair[0]..pair[1]]).expect("below the limit"));
            }
            prop_assert_eq!(messages, expected());
        }
    }
}
