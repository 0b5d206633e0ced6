//! The configuration of the start.

use super::*;

fn loaded(module: Option<&'static str>) -> &'static Config {
    load(module.map(str::as_bytes), &mut Arena::fake(8 << 20))
}

#[test]
fn a_good_module_replaces_the_baked_configuration_and_a_bad_one_does_not() {
    let baked = loaded(None);
    let config = loaded(Some(".echo = { .plain_port = 4711 }"));
    assert_eq!((config.echo.plain_port, config.echo.tls_port), (4711, 0));
    let config = loaded(Some(".echo = { .plain_port = 65536 }"));
    assert_eq!(config.echo.plain_port, baked.echo.plain_port);
}

#[test]
fn a_module_without_certificates_takes_the_throw_away_ones_if_the_build_has_any() {
    let config = loaded(Some(".echo = { .tls_port = 4711 }"));
    assert_eq!(config.tls.srv_cert.is_empty(), THROW_AWAY.is_empty());
    assert_eq!(config.tls.srv_key.len(), config.tls.srv_cert.len());
}
