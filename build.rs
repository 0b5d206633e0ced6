//! Links the image.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    link_image();
    note_date();
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
    // Symbols are for the debugger, and would be half of the file.
    if std::env::var("PROFILE").is_ok_and(|profile| profile == "release") {
        arguments.push("-Wl,--strip-all".to_owned());
    }
    for argument in arguments {
        println!("cargo::rustc-link-arg-bin=postern={argument}");
    }
}

/// Tells the code when it was built (`POSTERN_BUILT`, seconds since 1970): no right clock shows an earlier date.
/// `SOURCE_DATE_EPOCH`, where it is set, makes builds reproducible (<https://reproducible-builds.org/specs/source-date-epoch/>).
fn note_date() {
    println!("cargo::rerun-if-env-changed=SOURCE_DATE_EPOCH");
    let given = std::env::var("SOURCE_DATE_EPOCH")
        .ok()
        .and_then(|given| given.parse::<u64>().ok());
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let built = given.unwrap_or_else(|| now.map_or(0, |now| now.as_secs()));
    println!("cargo::rustc-env=POSTERN_BUILT={built}");
}
