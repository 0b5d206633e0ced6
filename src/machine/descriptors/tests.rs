use super::*;

fn report(vector: u64, code: u64, address: u64) -> String {
    let frame = Frame {
        vector,
        code,
        rip: 0x10_1234,
        cs: 8,
        flags: 0,
        rsp: 0x20_0008,
        ss: 16,
    };
    let stack = |n: u64| Range::new(0x20_1000 + n * 0x2000, 0x20_2000 + n * 0x2000);
    let stacks = Stacks {
        interrupt: stack(0),
        fault: stack(1),
        double_fault: stack(2),
        nmi: stack(3),
        main: stack(4),
    };
    let stacks = Some(stacks);
    let report = Report {
        frame: &frame,
        address,
        stacks,
        check: None,
    };
    std::format!("{report}")
}

#[test]
fn an_exception_is_reported_with_all_that_is_known() {
    assert_eq!(
        report(13, 0x18, 0),
        "exception 13 (general protection), error code 0x18, rip 0x101234, rsp 0x200008"
    );
    let fault = "exception 14 (page fault), error code 0x2, rip 0x101234, rsp 0x200008, write at 0x8: nothing there";
    assert_eq!(report(14, 2, 8), fault);
    assert!(report(14, 0x11, 0x5000).ends_with("execution at 0x5000: not permitted"));
}

#[test]
fn a_fault_below_a_stack_is_an_overflow_of_that_stack() {
    assert!(report(14, 2, 0x20_8fff).starts_with("stack overflow (main stack): exception 14"));
    assert!(report(8, 0, 0x20_0000).starts_with("stack overflow (interrupt stack): exception 8"));
    assert!(report(14, 2, 0x20_9000).starts_with("exception 14"));
    assert!(report(13, 2, 0x20_8fff).starts_with("exception 13"));
}

#[test]
fn what_was_used_of_a_stack_shows_even_if_it_is_zero_again() {
    let mut stack = [0u64; 64];
    let start = stack.as_mut_ptr() as u64;
    let range = Range::new(start, start + 512);
    // SAFETY: the array, whose elements are only touched by the same address.
    unsafe {
        paint(range);
        assert_eq!(painted(range), 512);
        (start as *mut u64).add(40).write_volatile(7);
        (start as *mut u64).add(20).write_volatile(0);
        assert_eq!(painted(range), 160);
    }
    let (all, high) = (Range::new(0, !7), Range::new(u64::MAX - 7, u64::MAX - 7));
    let below = below_this_frame(all);
    assert!(below.start == 0 && below.end < (&raw const all).addr() as u64 && below.end.is_multiple_of(8));
    assert!(below_this_frame(high).is_empty(), "this frame is not on that stack");
}

#[test]
fn stubs_lie_where_the_table_expects_them() {
    let device = (&raw const postern_interrupt_stubs).addr();
    let plain = (&raw const postern_exception_stubs).addr();
    let coded = (&raw const postern_exception_stubs_with_code).addr();
    // SAFETY: code of this program, read.
    let byte = |at: usize| unsafe { (at as *const u8).read() };
    for index in 0..VECTORS {
        // Twice MOV r/m8, imm8 with a RIP-relative operand, then REX.W IRET.
        assert_eq!([0, 7, 14].map(|n| byte(device + 16 * index + n)), [0xc6, 0xc6, 0x48]);
    }
    for vector in [0, 3, 6, 16, 28] {
        assert_eq!(
            [0, 1, 2, 3].map(|n| byte(plain + 16 * vector + n)),
            [0x6a, 0, 0x6a, vector as u8]
        );
    }
    for vector in [8, 13, 14, 30] {
        assert_eq!([0, 1].map(|n| byte(coded + 16 * vector + n)), [0x6a, vector as u8]);
    }
}
