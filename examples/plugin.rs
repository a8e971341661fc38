// Curriculum temperature in a loop of Rust, through libctkd's C interface: a softmax regression learns from a fixed linear
// teacher. Structs whose layout the example does not need are bytes; options are set by name and text.
//   rustc -O examples/plugin.rs -L build -l static=ctkd -l m
use std::ffi::{CStr, CString};
use std::os::raw::{c_char, c_int, c_void};
use std::ptr::{null, null_mut};

#[repr(C)]
struct Batch { // ctkd_plugin_batch
    size: usize,
    n: usize,
    s: *const c_void,
    t: *const c_void,
    s_type: c_int,
    t_type: c_int,
    labels: *const i32,
    labels64: *const i64,
    soft_labels: *const f32,
    mask: *const u8,
    weights: *const f32,
    epoch: usize,
    step: u64,
}

#[repr(C)]
#[derive(Default)]
struct Report { // ctkd_plugin_report
    loss: f32,
    loss_ce: f32,
    loss_kd: f32,
    loss_method: f32,
    tau_mean: f32,
    tau_min: f32,
    tau_max: f32,
    lambda: f32,
    theta_gradient: f32,
    counted: usize,
    labelled: usize,
}

#[repr(C)]
struct Error { // ctkd_error
    status: c_int,
    message: [c_char; 512],
}

#[repr(C, align(8))]
struct Config([u8; 1024]); // ctkd_plugin_config and more: members that a library does not know stay 0

extern "C" {
    fn ctkd_plugin_config_init(config: *mut Config, size: usize, report_size: usize, n_max: usize, k: usize);
    fn ctkd_plugin_config_set(config: *mut Config, name: *const c_char, text: *const c_char, err: *mut Error) -> c_int;
    fn ctkd_plugin_create_checked(config: *const Config, out: *mut *mut c_void, err: *mut Error) -> c_int;
    fn ctkd_plugin_evaluate(plugin: *mut c_void, batch: *const Batch, ds: *mut f32, dtheta: *mut f32, report: *mut Report,
                            err: *mut Error) -> c_int;
    fn ctkd_plugin_apply(plugin: *mut c_void, dtheta: *const f32, scale: f32, err: *mut Error) -> c_int;
    fn ctkd_plugin_theta_count(plugin: *const c_void) -> usize;
    fn ctkd_plugin_destroy(plugin: *mut c_void);
}

struct Plugin {
    handle: *mut c_void,
    k: usize,
}

fn checked(status: c_int, error: &Error) -> Result<(), String> {
    // The library writes the message, with its final zero, whenever it refuses.
    if status == 0 { Ok(()) } else { Err(unsafe { CStr::from_ptr(error.message.as_ptr()) }.to_string_lossy().into_owned()) }
}

impl Plugin {
    fn new(n_max: usize, k: usize, options: &[(&str, &str)]) -> Result<Plugin, String> {
        let (mut config, mut error) = (Config([0; 1024]), Error { status: 0, message: [0; 512] });
        let mut handle = null_mut();
        unsafe {
            ctkd_plugin_config_init(&mut config, 1024, std::mem::size_of::<Report>(), n_max, k);
            for (name, text) in options {
                let (name, text) = (CString::new(*name).unwrap(), CString::new(*text).unwrap());
                checked(ctkd_plugin_config_set(&mut config, name.as_ptr(), text.as_ptr(), &mut error), &error)?;
            }
            checked(ctkd_plugin_create_checked(&config, &mut handle, &mut error), &error)?;
        }
        Ok(Plugin { handle, k })
    }

    /// Writes dL/ds; gives theta's gradient, already reversed, and the report. Moves nothing.
    fn evaluate(&mut self, s: &[f32], t: &[f32], labels: &[i32], epoch: usize, ds: &mut [f32]) -> Result<(Vec<f32>, Report), String> {
        let n = labels.len();
        assert!(s.len() == n * self.k && t.len() == n * self.k && ds.len() == n * self.k);
        let batch = Batch { size: std::mem::size_of::<Batch>(), n, s: s.as_ptr().cast(), t: t.as_ptr().cast(), s_type: 0,
                            t_type: 0, labels: labels.as_ptr(), labels64: null(), soft_labels: null(), mask: null(),
                            weights: null(), epoch, step: 0 };
        let mut dtheta = vec![0.0; unsafe { ctkd_plugin_theta_count(self.handle) }];
        let (mut report, mut error) = (Report::default(), Error { status: 0, message: [0; 512] });
        checked(unsafe { ctkd_plugin_evaluate(self.handle, &batch, ds.as_mut_ptr(), dtheta.as_mut_ptr(), &mut report, &mut error) },
                &error)?;
        Ok((dtheta, report))
    }

    fn apply(&mut self, dtheta: &[f32], scale: f32) -> Result<(), String> {
        let mut error = Error { status: 0, message: [0; 512] };
        checked(unsafe { ctkd_plugin_apply(self.handle, dtheta.as_ptr(), scale, &mut error) }, &error)
    }
}

impl Drop for Plugin {
    fn drop(&mut self) {
        unsafe { ctkd_plugin_destroy(self.handle) }
    }
}

const SAMPLES: usize = 512;
const FEATURES: usize = 20;
const CLASSES: usize = 10;
const BATCH: usize = 64;

/// Numbers between -1.7 and 1.7 with the variance 1.
fn numbers(count: usize, seed: u64) -> Vec<f32> {
    let mut state = seed;
    (0..count).map(|_| {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        ((state >> 40) as f32 / (1u64 << 23) as f32 - 1.0) * 1.732
    }).collect()
}

fn linear(x: &[f32], w: &[f32]) -> Vec<f32> {
    x.chunks(FEATURES).flat_map(|row| w.chunks(FEATURES).map(move |c| row.iter().zip(c).map(|(a, b)| a * b).sum())).collect()
}

fn main() -> Result<(), String> {
    let mut plugin = Plugin::new(BATCH, CLASSES, &[("temperature.kind", "global"), ("curriculum_epochs", "5")])?;
    let (x, truth, mut w) = (numbers(SAMPLES * FEATURES, 1), numbers(CLASSES * FEATURES, 2), vec![0.0f32; CLASSES * FEATURES]);
    let t = linear(&x, &truth);
    let labels: Vec<i32> = t.chunks(CLASSES).map(|row| (0..CLASSES).fold(0, |a, c| if row[c] > row[a] { c } else { a }) as i32).collect();
    let (mut ds, mut first, mut loss) = (vec![0.0; BATCH * CLASSES], 0.0, 0.0);
    for epoch in 1..=10 {
        let mut report = Report::default();
        loss = 0.0;
        for b in (0..SAMPLES).step_by(BATCH) {
            let rows = &x[b * FEATURES..(b + BATCH) * FEATURES];
            let (dtheta, now) = plugin.evaluate(&linear(rows, &w), &t[b * CLASSES..(b + BATCH) * CLASSES], &labels[b..b + BATCH],
                                                epoch, &mut ds)?;
            plugin.apply(&dtheta, 1.0)?;
            for (row, gradient) in rows.chunks(FEATURES).zip(ds.chunks(CLASSES)) {
                for (weights, g) in w.chunks_mut(FEATURES).zip(gradient) {
                    weights.iter_mut().zip(row).for_each(|(weight, value)| *weight -= 0.1 * g * value);
                }
            }
            loss += now.loss * BATCH as f32 / SAMPLES as f32;
            report = now;
        }
        println!("epoch {epoch:2}  lambda {:.3}  tau {:6.3}  loss {loss:.4}", report.lambda, report.tau_mean);
        if epoch == 1 { first = loss; }
    }
    if loss < 0.5 * first { Ok(()) } else { Err(format!("the loss went from {first} to {loss}, expected less than half")) }
}
