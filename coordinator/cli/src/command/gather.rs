//! Lists that continue after a place: as many pages as are asked for, printed as one.

use crate::client::{Answer, Request};
use crate::console::Console;
use crate::failure::Failure;
use crate::look::Look;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

/// The server's own maximum for one page.
const PAGE_MAX: usize = 200;
/// What is gathered is held in memory, payloads included.
pub(super) const ROWS_MAX: u32 = 10_000;

/// One page, or all of them; the counts are those of a fan-out, and the newest page's.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Gathered {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) count: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) working: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) over: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) succeeded: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) failed: Option<u64>,
    pub(super) items: Vec<Box<RawValue>>,
    /// Text for some lists, a number for others; only passed on.
    next_after: Option<Value>,
}

/// Asks for pages until there are `limit` rows or no more.
///
/// # Errors
/// The server's refusal, or an answer that is no page.
pub(super) async fn gather<'a>(limit: u32, ask: impl Fn() -> Request<'a>) -> Result<Gathered, Failure> {
    let limit = usize::try_from(limit).expect("at most ROWS_MAX");
    let mut whole = Gathered::default();
    loop {
        let after = whole.next_after.as_ref().map(written);
        let request = ask().query("limit", &PAGE_MAX.min(limit - whole.items.len()).to_string()).query_if("after", after.as_deref());
        let answer: Answer = request.send().await?;
        let mut page: Gathered = answer.read()?;
        let (brought, stuck) = (page.items.len(), page.next_after == whole.next_after);
        let mut items = std::mem::take(&mut whole.items);
        items.append(&mut page.items);
        whole = Gathered { items, ..page };
        // A server that brings nothing, or sends us back to where we were, has no more to say.
        if whole.next_after.is_none() || whole.items.len() >= limit || brought == 0 || stuck {
            return Ok(whole);
        }
    }
}

fn written(place: &Value) -> String {
    place.as_str().map_or_else(|| place.to_string(), str::to_owned)
}

impl Gathered {
    /// Prints everything as one answer, and says if there is more.
    pub(super) fn print<T: DeserializeOwned>(
        &self,
        draw: impl FnOnce(&[T], &Look) -> String,
        console: &mut Console,
    ) -> Result<(), Failure> {
        let whole = serde_json::value::to_raw_value(self).expect("text and valid JSON always print");
        console.answer(&whole, |look| {
            let read = |item: &RawValue| {
                serde_json::from_str::<T>(item.get())
                    .map_err(|cause| Failure::Unreadable { address: "the list".to_owned(), cause: cause.to_string() })
            };
            let items = self.items.iter().map(|item| read(item)).collect::<Result<Vec<T>, _>>()?;
            Ok(draw(&items, look))
        })?;
        if self.next_after.is_some() {
            console.chat("there are more: a larger --limit lists them");
        }
        Ok(())
    }
}
