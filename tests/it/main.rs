//! Tests of the whole program from outside: the real binary, real sockets, real files.

mod bad_input;
mod kill;
mod line;
mod support;
