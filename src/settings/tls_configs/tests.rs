//! Slots, and refusals of another configuration.
//!
//! A whole reload needs a clock and entropy: `tests/machine/reload.rs`.

use std::boxed::Box;
use std::string::String;

use super::*;
use crate::testing::block_on;

const HEAP: usize = 128 * 1024;

fn configs(memory: usize) -> &'static TlsConfigs {
    configs_with(memory, || HeapUse {
        used: 0,
        peak: 0,
        size: HEAP,
    })
}

fn configs_with(memory: usize, heap: fn() -> HeapUse) -> &'static TlsConfigs {
    let config = Box::leak(Box::new(Config::new()));
    TlsConfigs::new(config, heap, &mut Arena::fake(memory)).unwrap()
}

fn refusal(configs: &'static TlsConfigs, text: &str) -> String {
    let mut why = String::new();
    assert!(configs.replace(text.as_bytes(), &mut why).is_err());
    why
}

struct Sections(String);

impl ReportWriter for Sections {
    type Error = fmt::Error;

    async fn section(&mut self, section: impl FnOnce(&mut dyn fmt::Write) -> fmt::Result) -> fmt::Result {
        section(&mut self.0)
    }
}

fn report(configs: &'static TlsConfigs) -> String {
    let mut sections = Sections(String::new());
    block_on(configs.report(&mut sections)).unwrap();
    sections.0
}

#[test]
fn a_small_memory_has_no_second_configuration() {
    let configs = configs(ENOUGH - 4096);
    assert!(!configs.can_change());
    assert_eq!(configs.paste_buffer().err(), Some(TOO_SMALL));
    assert_eq!(refusal(configs, ".tls = {}"), TOO_SMALL);
}

#[test]
fn what_is_refused_leaves_the_current_configuration() {
    let configs = configs(ENOUGH + (1 << 20));
    assert!(configs.can_change());
    for (text, why) in [
        ("", "there is no .tls in it, nor a PEM block at the beginning of a line"),
        (
            ".tls = {}",
            "there is no .tls.srv_cert in it, without which nothing can be served",
        ),
        (".tls = { .keylog = 2 }", "out of range"),
        ("-----BEGIN CERTIFICATE-----\n", "the PEM block has no END line"),
    ] {
        let refusal = refusal(configs, text);
        assert!(refusal.contains(why), "{refusal}");
    }
    assert!(report(configs).starts_with("configuration 0: of the start, "));
    assert!(configs.slots.iter().all(|slot| slot.users.get() == 0));
}

#[test]
fn a_reload_is_refused_while_another_one_runs_or_earlier_keys_fill_the_heap() {
    let configs = configs(ENOUGH + (1 << 20));
    let scratch = configs.tools.as_ref().unwrap().scratch.borrow_mut();
    assert_eq!(refusal(configs, ".tls = {}"), BUSY);
    drop(scratch);
    assert_ne!(refusal(configs, ".tls = {}"), BUSY);
    let full = configs_with(ENOUGH + (1 << 20), || HeapUse {
        used: HEAP - RSA_HEAP + 1,
        peak: HEAP,
        size: HEAP,
    });
    assert!(refusal(full, ".tls = {}").starts_with("the RSA keys of earlier configurations"));
}

#[test]
fn a_reload_is_refused_while_connections_use_all_earlier_configurations() {
    let configs = configs(ENOUGH + (1 << 20));
    configs.slots.iter().for_each(|slot| slot.users.set(1));
    let why = refusal(configs, ".tls = {}");
    assert!(
        why.starts_with("3 connections still use earlier configurations"),
        "{why}"
    );
    configs.slots[SLOTS].users.set(0);
    assert!(refusal(configs, ".tls = {}").starts_with("there is no .tls.srv_cert"));
}

/// The output of `tls csr` for a configuration.
fn request(text: &str) -> String {
    let config = Box::leak(Box::new(Config::new()));
    config.parse(text.as_bytes(), &mut Scratch::new()).unwrap();
    let heap = || HeapUse {
        used: 0,
        peak: 0,
        size: HEAP,
    };
    boot_keys::make(config);
    let configs = TlsConfigs::new(config, heap, &mut Arena::fake(ENOUGH + (1 << 20))).unwrap();
    let mut sections = Sections(String::new());
    block_on(configs.write_request(Role::Server, &mut sections)).unwrap();
    sections.0
}

#[test]
fn a_request_needs_a_key_made_at_boot_and_entropy() {
    assert_eq!(
        request(".tls = {}"),
        "Failed: the server's key was not made at boot; set .tls.srv_key = \"generate\" and restart.\n"
    );
    assert_eq!(
        request(".tls = { .srv_key = \"generate\", .names = { \"a.test\" } }"),
        "Failed: no entropy: use a CPU with RDRAND (-cpu max) or an entropy device (-device virtio-rng-pci).\n"
    );
}

#[test]
fn one_session_at_a_time_has_the_paste_buffer() {
    let configs = configs(ENOUGH + (1 << 20));
    let first = configs.paste_buffer().unwrap();
    assert_eq!(configs.paste_buffer().err(), Some(BUSY));
    drop(first);
    assert!(configs.paste_buffer().is_ok());
}

#[test]
fn a_configuration_is_in_use_while_its_roles_are() {
    let configs = configs(ENOUGH + (1 << 20));
    let users = || configs.slots[0].users.get();
    let tls_config = configs.in_use();
    assert_eq!(users(), 1);
    let second = configs.in_use();
    assert_eq!(users(), 2);
    drop(second);
    // On this host there is no entropy.
    assert!(
        tls_config
            .roles()
            .server()
            .is_err_and(|why| why.starts_with("no entropy: "))
    );
    drop(tls_config);
    assert_eq!(users(), 0);
}
