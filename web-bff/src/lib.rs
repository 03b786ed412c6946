//! web-bff: the browser's gateway. One cookie, no token in the browser, rich answers.
//!
//! Most of what it is stands in config/web-bff.toml; this crate adds the life of a session: login
//! with the user service, who am I, logout; and a page that shows the sample's dashboard as it lands.
//!
//! Not here: how a session cookie is checked on every other request, cross-site request forgery,
//! CORS (`gateway-core`).

pub mod app;
pub mod config;
pub mod login;
pub mod page;
pub mod session;
