/* Frequencies of the rotary embedding, and llama3's scaling of them in its two spellings: parameters (config.json) and
 * factors (GGUF).
 *
 *   inv_freq[i] = theta^(-2i/d) ;  linear: / factor
 *   llama3, with wavelength w = 2 pi / inv_freq:
 *     w > original/low: / factor       w < original/high: unchanged
 *     between: smooth = (original/w - low)/(high - low) ;  (1 - smooth) inv_freq / factor + smooth inv_freq */
#include "model/config.h"

#include <math.h>

static const double two_pi = 6.28318530717958647692;

/* In f32 step by step, as transformers forms them, so that angles far out agree. */
static float plain_frequency(const dq_config *config, int i) {
    float exponent = (float)(2 * i) / (float)config->head_width;
    return 1.0f / (float)pow(config->rope_theta, (double)exponent);
}

static float llama3_frequency(const dq_config *config, float frequency) {
    float wavelength = (float)two_pi / frequency;
    if (wavelength > (float)(config->rope_original / config->rope_low)) return frequency / (float)config->rope_factor;
    if (wavelength < (float)(config->rope_original / config->rope_high)) return frequency;
    float smooth = ((float)config->rope_original / wavelength - (float)config->rope_low) /
                   (float)(config->rope_high - config->rope_low);
    return (1.0f - smooth) * frequency / (float)config->rope_factor + smooth * frequency;
}

void dq_config_inv_freq(const dq_config *config, float *inv_freq) {
    for (int i = 0; i < config->head_width / 2; i++) {
        float frequency = plain_frequency(config, i);
        if (config->rope == DQ_ROPE_LINEAR) frequency /= (float)config->rope_factor;
        if (config->rope == DQ_ROPE_LLAMA3) frequency = llama3_frequency(config, frequency);
        inv_freq[i] = frequency;
    }
}

static double llama3_factor(const dq_config *config, int i) {
    double wavelength = two_pi / (double)plain_frequency(config, i);
    if (wavelength > config->rope_original / config->rope_low) return config->rope_factor;
    if (wavelength < config->rope_original / config->rope_high) return 1;
    double smooth = (config->rope_original / wavelength - config->rope_low) / (config->rope_high - config->rope_low);
    return 1 / ((1 - smooth) / config->rope_factor + smooth);
}

bool dq_config_rope_factors(const dq_config *config, float *factors) {
    bool needed = config->rope == DQ_ROPE_LLAMA3;
    for (int i = 0; i < config->head_width / 2; i++) factors[i] = needed ? (float)llama3_factor(config, i) : 1.0f;
    return needed;
}

static bool close_to(double a, double b) {
    return fabs(a - b) <= 1e-5 * fabs(b);
}

static bool fits(const dq_config *config, const float *factors) {
    for (int i = 0; i < config->head_width / 2; i++)
        if (!close_to(llama3_factor(config, i), factors[i])) return false;
    return true;
}

/* Models are published with whole numbers here; what f32 factors give back is off by some 1e-6. */
static double snap(double x) {
    return fabs(x - round(x)) <= 1e-3 * fabs(x) ? round(x) : x;
}

static bool try_scaling(dq_config *config, const float *factors, double original, double high) {
    if (!isfinite(original) || !isfinite(high)) return false;
    config->rope = DQ_ROPE_LLAMA3;
    config->rope_low = 1;
    config->rope_original = snap(original);
    config->rope_high = snap(high);
    if (config->rope_high > 1 && fits(config, factors)) return true;
    config->rope_original = original;
    config->rope_high = high;
    return config->rope_high > 1 && fits(config, factors);
}

/* Only original/low and original/high matter, so low = 1 without loss. In the middle range 1/c is linear in the
 * frequency: two factors there give both unknowns, one gives `original` for the usual high = 4; with none, any border
 * between the two outer ranges does. */
dlqat_status dq_config_fit_factors(dq_config *config, const float *factors, const char *where, dlqat_error *error) {
    int pairs = config->head_width / 2;
    double largest = 1, smallest = HUGE_VAL;
    for (int i = 0; i < pairs; i++) {
        if (!isfinite(factors[i]) || factors[i] < 1)
            return dq_fail(error, DLQAT_ERROR_UNSUPPORTED,
                           "%s: rope_freqs.weight[%d] is %g, expected a factor of at least 1", where, i,
                           (double)factors[i]);
        largest = fmax(largest, factors[i]);
        smallest = fmin(smallest, factors[i]);
    }
    config->rope = DQ_ROPE_DEFAULT;
    if (close_to(largest, 1)) return DLQAT_OK;
    config->rope_factor = snap(largest);
    if (!close_to(config->rope_factor, largest)) config->rope_factor = largest;
    config->rope = DQ_ROPE_LINEAR;
    if (close_to(smallest, largest)) return DLQAT_OK;

    int middle = 0;
    double x[2] = {0}, smooth[2] = {0}; /* the outermost two of the middle range: 1/wavelength and smooth */
    double longest_kept = 0, shortest_divided = HUGE_VAL;
    for (int i = 0; i < pairs; i++) {
        double wavelength = two_pi / (double)plain_frequency(config, i);
        if (close_to(factors[i], 1)) {
            longest_kept = fmax(longest_kept, wavelength);
        } else if (close_to(factors[i], largest)) {
            shortest_divided = fmin(shortest_divided, wavelength);
        } else {
            int at = middle++ ? 1 : 0;
            x[at] = 1 / wavelength;
            smooth[at] = (1 / (double)factors[i] - 1 / config->rope_factor) / (1 - 1 / config->rope_factor);
        }
    }
    bool found;
    if (middle >= 2) { /* smooth = a x - c, a = original / (high - 1), c = 1 / (high - 1) */
        double a = (smooth[0] - smooth[1]) / (x[0] - x[1]), c = a * x[0] - smooth[0];
        found = try_scaling(config, factors, a / c, 1 + 1 / c);
    } else if (middle == 1) {
        found = try_scaling(config, factors, (3 * smooth[0] + 1) / x[0], 4);
    } else {
        double ratio = shortest_divided / longest_kept; /* above 1 if these are llama3's */
        found = try_scaling(config, factors, 8192, 4) ||
                try_scaling(config, factors, shortest_divided * pow(ratio, -0.25), sqrt(ratio));
    }
    if (found) return DLQAT_OK;
    return dq_fail(error, DLQAT_ERROR_UNSUPPORTED,
                   "%s: rope_freqs.weight does not hold llama3's RoPE scaling; other scalings are not supported",
                   where);
}
