//! Stack use, measured by painting the stack below this frame.

/// How much is painted, in bytes. A thread of the test runner has 2 MiB.
const DEPTH: usize = 256 << 10;
/// What the painting itself and the call take, in bytes; not painted, and not counted.
const MARGIN: usize = 1024;
const PAINT: u64 = 0xa5a5_5a5a_c3c3_3c3c;

/// How many bytes of stack `work` takes, up to [`DEPTH`].
#[inline(never)]
pub fn depth(work: &mut dyn FnMut()) -> usize {
    let here = 0_u64;
    let top = ((&raw const here).addr() - MARGIN) & !7;
    let bottom = top - DEPTH;
    let word = |at: usize| std::ptr::with_exposed_provenance_mut::<u64>(at);
    for at in (bottom..top).step_by(8) {
        // SAFETY: the stack of this thread goes on far below, and nothing there is alive.
        unsafe { word(at).write_volatile(PAINT) };
    }
    work();
    let untouched = (bottom..top)
        .step_by(8)
        // SAFETY: as above.
        .take_while(|at| unsafe { word(*at).read_volatile() } == PAINT)
        .count();
    assert!(untouched > 0, "it takes more than {DEPTH} bytes");
    DEPTH + MARGIN - 8 * untouched
}

#[test]
fn what_is_used_shows() {
    #[inline(never)]
    fn fill(len: usize) -> u64 {
        let mut array = [0_u64; 4096];
        for (at, place) in array.iter_mut().enumerate().take(len) {
            *place = std::hint::black_box(at as u64);
        }
        std::hint::black_box(&array).iter().sum()
    }
    let nothing = depth(&mut || ());
    let much = depth(&mut || {
        std::hint::black_box(fill(4096));
    });
    assert!(nothing < 2048, "{nothing}");
    assert!((32 << 10..40 << 10).contains(&much), "{much}");
}
