use core::cell::RefCell;

use super::*;

/// Records why a connection failed.
#[derive(Default)]
struct Reason(RefCell<String>);

impl Trace for Reason {
    fn event(&self, event: &Event<'_>) {
        if let Event::Milestone(Milestone::Failed { reason }) = event {
            *self.0.borrow_mut() = (*reason).into();
        }
    }
}

#[test]
fn a_long_reason_is_cut_visibly() {
    const LONG: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\
                        0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\
                        0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
    let reason = Reason::default();
    record_failure(Some(&reason), &Error::Internal(LONG));
    let reason = reason.0.into_inner();
    assert!(reason.ends_with("456789ab…"), "{reason}");
}
