//! One file, as one request wants it: all of it, a part, or a refusal.

use std::ops::Range;

use warp::{
    http::{HeaderMap, Method},
    reply::{Reply, Response},
};

use super::{
    body::{self, Chunks},
    lane::Lane,
    plan::{Plan, plan},
    reply::{self, Problem},
};
use crate::core::media::Media;

/// What a request says of the file that it wants.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// GET or HEAD.
    pub method: &'a Method,
    /// With its ranges and conditions.
    pub headers: &'a HeaderMap,
}

impl Asked<'_> {
    fn plan(&self, media: &Media) -> Plan {
        plan(self.method, self.headers, &reply::etag(media), media.len)
    }

    /// The bytes that the answer's body needs; empty when it has none.
    pub fn range(&self, media: &Media) -> Range<u64> {
        match self.plan(media) {
            _ if self.method == Method::HEAD => 0..0,
            Plan::Whole => 0..media.len,
            Plan::Part(range) => range,
            Plan::NotModified | Plan::PreconditionFailed | Plan::Unsatisfiable => 0..0,
        }
    }
}

/// The answer, once the first bytes of its body are there. `reader` is asked only for a range that is not empty.
pub async fn deliver<C: Chunks>(
    media: &Media,
    asked: Asked<'_>,
    reader: impl FnOnce(Range<u64>) -> C,
    lane: Lane,
) -> Result<Response, Problem> {
    let plan = asked.plan(media);
    match plan {
        Plan::NotModified => return Ok(reply::not_modified(media)),
        Plan::PreconditionFailed => return Err(Problem::precondition()),
        Plan::Unsatisfiable => return Err(Problem::range(media.len)),
        Plan::Whole | Plan::Part(_) => {}
    }
    let range = asked.range(media);
    let body = if range.is_empty() {
        Response::default()
    } else {
        let stream = body::begin(reader(range), lane).await.map_err(|error| Problem::from(&error))?;
        warp::reply::stream(stream).into_response()
    };
    Ok(match plan {
        Plan::Part(range) => reply::part(media, &range, body),
        _ => reply::whole(media, body),
    })
}
