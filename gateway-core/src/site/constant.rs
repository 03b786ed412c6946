//! Constants and redirects: routes that the gateway answers by itself, as soon as they are found.
//!
//! They cost less than a refusal would, so they pay no limit, and nobody is identified for them.

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};

use crate::body::Body;
use crate::error::{InternalError, Refused};
use crate::transform::{Template, Values};

/// What answers at once.
#[derive(Debug)]
pub enum Constant {
    /// Always the same.
    Respond(Respond),
    /// Another place.
    Redirect(Redirect),
}

/// An answer that is always the same.
#[derive(Debug)]
pub struct Respond {
    /// The status.
    pub status: StatusCode,
    /// The media type and the body.
    pub body: Option<(HeaderValue, Bytes)>,
}

/// A way to another place.
#[derive(Debug)]
pub struct Redirect {
    /// The status.
    pub status: StatusCode,
    /// Scheme and host, where it is not the gateway's own.
    pub origin: Box<str>,
    /// The path; values are encoded as segments of it.
    pub path: Template,
    /// Whether the client's query goes along.
    pub keeps_query: bool,
}

impl Constant {
    /// The answer to one request.
    ///
    /// # Errors
    ///
    /// A redirect whose place needs a value that the request does not have, or that would lead
    /// elsewhere.
    pub fn answer(&self, values: &Values<'_>) -> Result<Response<Body>, Refused> {
        match self {
            Self::Respond(constant) => Ok(constant.answer()),
            Self::Redirect(redirect) => redirect.answer(values),
        }
    }
}

impl Respond {
    fn answer(&self) -> Response<Body> {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = self.status;
        if let Some((content_type, body)) = &self.body {
            response.headers_mut().insert(header::CONTENT_TYPE, content_type.clone());
            *response.body_mut() = Body::from(body.clone());
        }
        response
    }
}

impl Redirect {
    fn answer(&self, values: &Values<'_>) -> Result<Response<Body>, Refused> {
        let mut place = format!("{}{}", self.origin, self.path.render(values)?);
        if let Some(query) = values.query.filter(|_| self.keeps_query) {
            place.push('?');
            place.push_str(query);
        }
        let mut response = Response::new(Body::empty());
        *response.status_mut() = self.status;
        // A path is encoded, and a query came in a target: nothing in them can end a field.
        let place = HeaderValue::from_maybe_shared(Bytes::from(place));
        let place = place.map_err(|_| InternalError::of("a place that is no header value"))?;
        response.headers_mut().insert(header::LOCATION, place);
        Ok(response)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transform::Place;

    #[track_caller]
    fn check(to: &str, value: &str, query: Option<&str>, expected: Result<&str, &str>) {
        let path = Template::parse(to, Place::Path, &["x".into()]).expect("a template");
        let status = StatusCode::TEMPORARY_REDIRECT;
        let redirect = Redirect { status, origin: "".into(), path, keeps_query: true };
        let params = [value.into()];
        let values = Values { params: &params, principal: None, query };
        let answer = redirect.answer(&values);
        let answer = answer.map(|answer| answer.headers()["location"].to_str().unwrap().to_owned());
        let answer = answer.map_err(|refused| refused.refusal().code());
        assert_eq!(answer.as_deref().map_err(|code| *code), expected, "{to} {value}");
    }

    #[test]
    fn a_value_stays_in_its_place() {
        check("/new/{x}", "7", None, Ok("/new/7"));
        check("/new/{x}", "7", Some("a=b&c"), Ok("/new/7?a=b&c"));
        check("/new/{x}", "a/b?c#d", None, Ok("/new/a%2Fb%3Fc%23d"));
        check("/new/{x}", "\r\nSet-Cookie: a=b", None, Ok("/new/%0D%0ASet-Cookie%3A%20a%3Db"));
        check("/{*x}", "a/b", None, Ok("/a/b"));
        // Never a place of another host.
        check("/{*x}", "/evil.example", None, Err("value_not_a_segment"));
        check("/{x}", "/evil.example", None, Ok("/%2Fevil.example"));
        check("/new/{x}", "..", None, Err("value_not_a_segment"));
    }
}
