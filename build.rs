//! Links the image, and bakes in what it needs beside its code.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    link_image();
    postern_config::bake::bake();
}

/// Makes the binary `postern` a freestanding image: no start files, no libraries, our linker script. Nothing else of
/// the package is touched, so that tests, benches and documentation build as ever.
fn link_image() {
    let script = format!(
        "{}/src/boot/link.ld",
        std::env::var("CARGO_MANIFEST_DIR").expect("cargo sets it")
    );
    println!("cargo::rerun-if-changed={script}");
    println!("cargo::rerun-if-changed=src/boot/entry.s");
    println!("cargo::rerun-if-changed=src/boot/memory.s");
    let mut arguments = vec![
        "-nostartfiles".to_owned(),
        "-nostdlib".to_owned(),
        "-static".to_owned(),
        "-no-pie".to_owned(),
        "-Wl,--build-id=none".to_owned(),
        "-Wl,--no-eh-frame-hdr".to_owned(),
        "-Wl,-z,max-page-size=4096".to_owned(),
        "-Wl,-z,noexecstack".to_owned(),
        format!("-Wl,-T,{script}"),
    ];
    // Symbols are for debugger and profiler, and would be half of the file.
    if std::env::var("DEBUG").is_ok_and(|debug| debug == "false") {
        arguments.push("-Wl,--strip-all".to_owned());
    }
    for argument in arguments {
        println!("cargo::rustc-link-arg-bin=postern={argument}");
    }
}
