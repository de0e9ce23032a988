//! What recovery must know about a row, without reading the content: results can be large, and a journal's tail can be long.

use super::Undecodable;
use prost::encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field};
use tasker_engine::TaskStatus;

/// What one entry did to its task's standing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outline {
    /// The entry accepts the task: it is the first of its history.
    pub accepts: bool,
    /// The entry ends the task.
    pub ends: Option<TaskStatus>,
}

/// Field numbers from the schema, which never change.
mod number {
    pub const ENTRY_EVENTS: u32 = 4;
    pub const TASK_ACCEPTED: u32 = 1;
    pub const TASK_SUCCEEDED: u32 = 11;
    pub const TASK_FAILED: u32 = 12;
    pub const TASK_CANCELLED: u32 = 13;
    /// The newest fact: every number up to here is one.
    pub const LAST: u32 = 33;
}

/// Looks at the kinds of an entry's events only. Agrees with [`decode`](super::decode) on every entry that decodes.
///
/// # Errors
/// If the bytes are not a message with events.
pub fn outline(mut bytes: &[u8]) -> Result<Outline, Undecodable> {
    let mut found = Outline { accepts: false, ends: None };
    let mut any = false;
    while !bytes.is_empty() {
        let (field, wire) = decode_key(&mut bytes)?;
        if field != number::ENTRY_EVENTS || wire != WireType::LengthDelimited {
            skip_field(wire, field, &mut bytes, DecodeContext::default())?;
            continue;
        }
        let mut event = delimited(&mut bytes)?;
        any = true;
        // One fact is one field, and its number says which; of several, the reader takes the last.
        let mut fact = None;
        while !event.is_empty() {
            let (field, wire) = decode_key(&mut event)?;
            skip_field(wire, field, &mut event, DecodeContext::default())?;
            fact = if (number::TASK_ACCEPTED..=number::LAST).contains(&field) { Some(field) } else { fact };
        }
        match fact {
            Some(number::TASK_ACCEPTED) => found.accepts = true,
            Some(number::TASK_SUCCEEDED) => found.ends = Some(TaskStatus::Succeeded),
            Some(number::TASK_FAILED) => found.ends = Some(TaskStatus::Failed),
            Some(number::TASK_CANCELLED) => found.ends = Some(TaskStatus::Cancelled),
            _ => {}
        }
    }
    if any { Ok(found) } else { Err(Undecodable::Missing("events")) }
}

/// Takes a length and that many bytes from the front.
fn delimited<'b>(bytes: &mut &'b [u8]) -> Result<&'b [u8], Undecodable> {
    let length = usize::try_from(decode_varint(bytes)?).unwrap_or(usize::MAX);
    let (taken, rest) = bytes.split_at_checked(length).ok_or(Undecodable::Invalid { field: "events", rule: "as long as it says" })?;
    *bytes = rest;
    Ok(taken)
}
