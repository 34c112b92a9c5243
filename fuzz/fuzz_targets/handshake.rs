#![no_main]
libfuzzer_sys::fuzz_target!(|input: &[u8]| (convoke_fuzz::targets::target("handshake").run)(input));
