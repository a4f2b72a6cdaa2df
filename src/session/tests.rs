//! Sessions on channels, under virtual time.
