#![no_main]

use lockstep_fuzz::hostile;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let _ = hostile::certificate(bytes);
});
