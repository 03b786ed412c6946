//! What goes on over a reload, and what takes a restart.
