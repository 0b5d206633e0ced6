//! Tests of the image's memcpy and its kin, under their private names.

core::arch::global_asm!(include_str!("../boot/memory.s"));

unsafe extern "C" {
    fn postern_memcpy(to: *mut u8, from: *const u8, len: usize) -> *mut u8;
    fn postern_memmove(to: *mut u8, from: *const u8, len: usize) -> *mut u8;
    fn postern_memset(to: *mut u8, byte: i32, len: usize) -> *mut u8;
    fn postern_memcmp(a: *const u8, b: *const u8, len: usize) -> i32;
}

/// Lengths on all paths, and around their borders.
fn lengths() -> impl Iterator<Item = usize> {
    (0..200).chain([255, 256, 257, 1000, 1514, 4096, 16_384])
}

fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|n| (n * 31 + n / 256 + 1) as u8).collect()
}

#[test]
fn memcpy_copies_what_it_should_and_nothing_else() {
    for len in lengths() {
        for (from, to) in [(0, 0), (1, 0), (0, 3), (7, 9)] {
            let source = pattern(len + 32);
            let mut target = std::vec![0xee; len + 32];
            let at = &raw mut target[to];
            // SAFETY: both have `len` bytes from there.
            let result = unsafe { postern_memcpy(at, &raw const source[from], len) };
            assert_eq!(result, at);
            assert_eq!(target[to..to + len], source[from..from + len], "{len}");
            assert!(
                target[..to].iter().chain(&target[to + len..]).all(|&byte| byte == 0xee),
                "{len}"
            );
        }
    }
}

#[test]
fn memmove_copes_with_every_overlap() {
    for len in lengths() {
        for distance in [-200, -64, -17, -16, -15, -1, 0, 1, 2, 8, 15, 16, 17, 63, 64, 65, 200] {
            let original = pattern(len + 500);
            let mut moved = original.clone();
            let mut expected = original.clone();
            let (from, to) = (250, (250 + distance) as usize);
            expected.copy_within(from..from + len, to);
            let base = moved.as_mut_ptr();
            // SAFETY: the buffer goes at least 250 bytes beyond either.
            let result = unsafe { postern_memmove(base.add(to), base.add(from), len) };
            assert_eq!(result.addr() - base.addr(), to);
            assert!(moved == expected, "{len} bytes by {distance}");
        }
    }
}

#[test]
fn memset_fills_what_it_should_and_nothing_else() {
    for len in lengths() {
        for to in [0, 1, 7] {
            let mut target = std::vec![0xee; len + 16];
            let at = &raw mut target[to];
            // SAFETY: there are `len` bytes from there. Only the low byte of the value counts.
            assert_eq!(unsafe { postern_memset(at, 0x1_23a5, len) }, at);
            assert!(target[to..to + len].iter().all(|&byte| byte == 0xa5), "{len}");
            assert!(
                target[..to].iter().chain(&target[to + len..]).all(|&byte| byte == 0xee),
                "{len}"
            );
        }
    }
}

#[test]
fn memcmp_orders_by_the_first_byte_that_differs() {
    for len in lengths() {
        let a = pattern(len);
        // SAFETY: both have `len` bytes.
        let compare = |a: &[u8], b: &[u8]| unsafe { postern_memcmp(a.as_ptr(), b.as_ptr(), len) };
        assert_eq!(compare(&a, &a), 0);
        for at in (0..len).step_by(7.max(len / 20)) {
            let mut b = a.clone();
            b[at] = a[at].wrapping_add(1);
            if let Some(last) = b.get_mut(at + 1..).and_then(|rest| rest.last_mut()) {
                *last = !*last;
            }
            assert_eq!(compare(&a, &b).signum(), a.cmp(&b) as i32, "{len} {at}");
            assert_eq!(compare(&b, &a).signum(), b.cmp(&a) as i32, "{len} {at}");
        }
    }
}
