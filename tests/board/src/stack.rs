//! Stack use: the memory below this frame is painted and inspected afterwards.

/// How much is painted, in bytes.
const DEPTH: usize = 256 << 10;
/// What the painting itself and the call take, in bytes; not painted, and not counted.
const MARGIN: usize = 256;
const PAINT: u32 = 0xa55a_c33c;

/// How many bytes of stack `work` takes, up to [`DEPTH`].
#[inline(never)]
pub fn depth(work: &mut dyn FnMut()) -> usize {
    let here = 0_u32;
    let top = ((&raw const here).addr() - MARGIN) & !3;
    let bottom = top - DEPTH;
    let word = |at: usize| core::ptr::with_exposed_provenance_mut::<u32>(at);
    for at in (bottom..top).step_by(4) {
        // SAFETY: the stack is at the end of 4 MiB of RAM, and nothing below this frame is alive.
        unsafe { word(at).write_volatile(PAINT) };
    }
    work();
    let untouched = (bottom..top)
        .step_by(4)
        // SAFETY: as above.
        .take_while(|at| unsafe { word(*at).read_volatile() } == PAINT)
        .count();
    assert!(untouched > 0, "it takes more than {DEPTH} bytes");
    DEPTH + MARGIN - 4 * untouched
}
