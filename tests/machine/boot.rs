//! Boot, the ways out, and machines that lack something.

use super::common::machine::{Machine, PANIC, SUCCESS, Setup};
