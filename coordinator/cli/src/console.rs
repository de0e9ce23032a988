//! Where a command reads and writes. Data goes to standard output, chatter and errors to standard error, so that `$(tasker …)` holds data only.

use crate::failure::Failure;
use crate::global::{Format, Global};
use crate::look::Look;
use crate::{json, text, yaml};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::io::{self, BufRead, IsTerminal, Read, Write};
use std::sync::{Arc, Mutex};

/// The three streams of a process, and what is known about who looks at them.
pub struct Console {
    out: Box<dyn Write + Send>,
    err: Box<dyn Write + Send>,
    input: Box<dyn BufRead + Send>,
    /// Columns and rows, if standard output is a terminal.
    terminal: Option<(u16, u16)>,
    err_is_terminal: bool,
    colour: bool,
    quiet: bool,
    format: Format,
}

/// What a captured console was told.
#[derive(Debug, Clone, Default)]
pub struct Captured {
    out: Arc<Mutex<Vec<u8>>>,
    err: Arc<Mutex<Vec<u8>>>,
}

impl Captured {
    /// Everything written to standard output so far.
    pub fn out(&self) -> String {
        String::from_utf8_lossy(&self.out.lock().expect("no writer panics while holding the buffer")).into_owned()
    }

    /// Everything written to standard error so far.
    pub fn err(&self) -> String {
        String::from_utf8_lossy(&self.err.lock().expect("no writer panics while holding the buffer")).into_owned()
    }
}

struct Kept(Arc<Mutex<Vec<u8>>>);

impl Write for Kept {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().map_err(|_| io::Error::other("the captured output is gone"))?.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Console {
    /// The streams of this process.
    pub fn of_process(global: &Global) -> Self {
        let stdout = io::stdout();
        let terminal = stdout.is_terminal().then(|| {
            terminal_size::terminal_size().map_or((Look::WIDTH_WITHOUT_TERMINAL, 24), |(width, height)| (width.0.max(20), height.0.max(6)))
        });
        Self {
            out: Box::new(stdout),
            err: Box::new(io::stderr()),
            input: Box::new(io::BufReader::new(io::stdin())),
            terminal,
            err_is_terminal: io::stderr().is_terminal(),
            // https://no-color.org: present and not empty means no colour.
            colour: !global.no_color && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()),
            quiet: global.quiet,
            format: global.output,
        }
    }

    /// A console without a terminal that keeps what it is told and reads `input`. For programs and tests that embed the commands.
    pub fn captured(global: &Global, input: impl Read + Send + 'static) -> (Self, Captured) {
        let captured = Captured::default();
        let console = Self {
            out: Box::new(Kept(captured.out.clone())),
            err: Box::new(Kept(captured.err.clone())),
            input: Box::new(io::BufReader::new(input)),
            terminal: None,
            err_is_terminal: false,
            colour: false,
            quiet: global.quiet,
            format: global.output,
        };
        (console, captured)
    }

    /// How to draw on standard output, now.
    pub(crate) fn look(&self) -> Look {
        Look {
            width: self.terminal.map(|(width, _)| width),
            height: self.terminal.map_or(24, |(_, height)| height),
            colour: self.colour && self.terminal.is_some(),
            now: Timestamp::now(),
        }
    }

    fn look_of_err(&self) -> Look {
        Look { colour: self.colour && self.err_is_terminal, ..self.look() }
    }

    /// Whether standard output may be redrawn in place.
    pub(crate) fn is_live(&self) -> bool {
        self.terminal.is_some() && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
    }

    /// Whether a progress bar has an audience.
    pub(crate) fn shows_progress(&self) -> bool {
        self.err_is_terminal && !self.quiet
    }

    pub(crate) fn is_quiet(&self) -> bool {
        self.quiet
    }

    pub(crate) fn format(&self) -> Format {
        self.format
    }

    /// What was typed or piped in.
    pub(crate) fn input(&mut self) -> &mut dyn BufRead {
        &mut self.input
    }

    /// Hands over what was typed or piped in; nothing is left to read here.
    pub(crate) fn take_input(&mut self) -> Box<dyn BufRead + Send> {
        std::mem::replace(&mut self.input, Box::new(io::empty()))
    }

    /// Text that is already safe for a terminal, as it is.
    pub(crate) fn print(&mut self, text: &str) -> Result<(), Failure> {
        self.out.write_all(text.as_bytes())?;
        self.out.flush()?;
        Ok(())
    }

    pub(crate) fn line(&mut self, text: &str) -> Result<(), Failure> {
        self.print(&format!("{text}\n"))
    }

    /// Text from outside with lines: byte for byte into a pipe or file, cleaned for a terminal.
    pub(crate) fn raw(&mut self, text: &str) -> Result<(), Failure> {
        let shown = if self.terminal.is_some() { text::clean_lines(text) } else { text.to_owned() };
        self.print(&shown)?;
        if shown.ends_with('\n') { Ok(()) } else { self.print("\n") }
    }

    /// Something for the person and not for the script. Dropped by `-q`, and if nobody can be told.
    pub(crate) fn chat(&mut self, text: &str) {
        if !self.quiet {
            let _ = writeln!(self.err, "{text}");
        }
    }

    /// Something went wrong that is part of the answer: always told, whatever `-q` says.
    pub(crate) fn complain(&mut self, text: &str) {
        let _ = writeln!(self.err, "{text}");
    }

    /// A failure: always told, whatever `-q` says.
    pub(crate) fn fail(&mut self, failure: &Failure) {
        if !failure.is_silent() {
            let rendered = failure.render(&self.look_of_err());
            let _ = writeln!(self.err, "{rendered}");
        }
    }

    /// Prints a whole answer in the format that was asked for; `table` draws it for people.
    pub(crate) fn answer(&mut self, answer: &RawValue, table: impl FnOnce(&Look) -> Result<String, Failure>) -> Result<(), Failure> {
        /// A list, whatever its items are.
        #[derive(Deserialize)]
        struct List {
            items: Vec<Box<RawValue>>,
        }
        match self.format {
            Format::Table => {
                let drawn = table(&self.look())?;
                self.print(&drawn)
            }
            Format::Json => self.line(&json::pretty(answer.get())),
            Format::Yaml => {
                let value = serde_json::from_str(answer.get()).expect("a raw value holds valid JSON");
                self.print(&yaml::document(&value))
            }
            Format::Jsonl => match serde_json::from_str::<List>(answer.get()) {
                Ok(list) => list.items.iter().try_for_each(|item| self.line(&json::compact(item.get()))),
                Err(_) => self.line(&json::compact(answer.get())),
            },
        }
    }
}
