//! Negotiation: whether a client wants an answer whole or part by part (RFC 9110 §12.5.1).
//!
//! JSON is the default: only who prefers one of the other two gets it.

use http::{HeaderMap, header};

use crate::aggregation::progress::Format;

/// The format in which parts are sent as they land; `None` for a whole answer.
pub(super) fn format(headers: &HeaderMap) -> Option<Format> {
    let fields = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let ranges: Vec<(&str, u32)> =
        fields.flat_map(|field| field.split(',')).map(with_weight).collect();
    let weight = |media_type: &str| {
        let of = |wanted: &str| {
            let mut found = ranges.iter().filter(|(range, _)| range.eq_ignore_ascii_case(wanted));
            found.next().map(|(_, weight)| *weight)
        };
        of(media_type)
    };
    let json = weight("application/json")
        .or_else(|| weight("application/*"))
        .or_else(|| weight("*/*"))
        .unwrap_or(0);
    let preferred = [Format::Ndjson, Format::EventStream].into_iter().filter_map(|format| {
        let weight = weight(format.media_type()).filter(|&weight| weight > 0)?;
        // Named as such, it is preferred to what `*/*` lets in, but not to JSON named as much.
        let is_json_named =
            ranges.iter().any(|(range, _)| range.eq_ignore_ascii_case("application/json"));
        (weight > json || (weight == json && !is_json_named)).then_some((weight, format))
    });
    // Of two with one weight the first of the list.
    preferred.reduce(|best, next| if next.0 > best.0 { next } else { best }).map(|(_, best)| best)
}

/// A media range, and its weight in thousandths.
fn with_weight(item: &str) -> (&str, u32) {
    let mut pieces = item.split(';').map(str::trim);
    let range = pieces.next().unwrap_or_default();
    let weight = pieces.find_map(|piece| piece.strip_prefix("q=")).map_or(1_000, |text| {
        let parsed = text.parse::<f32>().ok().filter(|weight| (0.0..=1.0).contains(weight));
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 1000")]
        parsed.map_or(0, |weight| (weight * 1_000.0) as u32)
    });
    (range, weight)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn only_who_prefers_it_gets_an_answer_part_by_part() {
        for (accept, expected) in [
            (None, None),
            (Some("*/*"), None),
            (Some("application/json"), None),
            (Some("application/x-ndjson"), Some(Format::Ndjson)),
            (Some("text/event-stream"), Some(Format::EventStream)),
            (Some("Text/Event-Stream;q=1"), Some(Format::EventStream)),
            (Some("application/x-ndjson, application/json"), None),
            (Some("application/x-ndjson, Application/JSON"), None),
            (Some("application/x-ndjson, application/json;q=0.5"), Some(Format::Ndjson)),
            (Some("application/x-ndjson, */*"), Some(Format::Ndjson)),
            (Some("application/x-ndjson;q=0.5, */*"), None),
            (Some("application/x-ndjson;q=0"), None),
            (Some("text/event-stream;q=0.5, application/x-ndjson"), Some(Format::Ndjson)),
            (Some("text/html, application/xhtml+xml"), None),
        ] {
            let mut headers = HeaderMap::new();
            if let Some(accept) = accept {
                headers.insert(header::ACCEPT, HeaderValue::from_static(accept));
            }
            assert_eq!(format(&headers), expected, "{accept:?}");
        }
    }
}
