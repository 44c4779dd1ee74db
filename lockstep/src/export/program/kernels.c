/* What the layers compute, in C99 without a library: the functions of kernels.rs, with the same order of operations.
   Between two items is one empty line, and within an item there is none. */

/* An image's channels, rows and columns. */
typedef struct { size_t channels, rows, columns; } shape;

/* Rows and columns of a kernel or window, between two places of it, and of zeros around the image. */
typedef struct { size_t size, stride, padding; } window;

/* A number and its bits. */
typedef union { float number; uint32_t bits; } word;

/* One by the root of a number of at least 1e-5; the relative error is below 4e-7. */
static float inverse_root(float x)
{
    word root;
    int i;
    root.number = x;
    root.bits = 0x5f3759dfu - (root.bits >> 1);
    for (i = 0; i < 4; i++)
        root.number *= 1.5f - 0.5f * x * root.number * root.number;
    return root.number;
}

/* The exponential function, of 87 beyond it and of -87 below; the relative error is below 2e-7. */
static float exp_of(float x)
{
    static const float factors[7] = {1.0f / 720, 1.0f / 120, 1.0f / 24, 1.0f / 6, 0.5f, 1.0f, 1.0f};
    float rest, sum = 1.0f / 5040;
    word scale;
    int power, i;
    x = x > 87.0f ? 87.0f : x;
    x = x > -87.0f ? x : -87.0f;
    power = (int)(x * 1.442695f + (x < 0.0f ? -0.5f : 0.5f));
    rest = x - (float)power * 0.6933594f + (float)power * 2.1219444e-4f;
    for (i = 0; i < 7; i++)
        sum = sum * rest + factors[i];
    scale.bits = (uint32_t)(power + 127) << 23;
    return sum * scale.number;
}

/* The numbers for pixels, of which each channel has a table, or all have one. */
static void pixels(const uint8_t *from, float *y, size_t count, const float *tables, size_t entries, size_t channels)
{
    size_t plane = count / channels, channel, at;
    for (channel = 0; channel < channels; channel++)
        for (at = 0; at < plane; at++)
            y[channel * plane + at] = tables[channel * 256 % entries + from[at * channels + channel]];
}

/* A convolution; a bias of NULL is none. */
static void conv(const float *x, float *y, const float *weight, const float *bias, shape input, shape output,
                 window of, size_t groups)
{
    size_t channels = input.channels / groups, out, row, column, channel, i, j;
    for (out = 0; out < output.channels; out++) {
        size_t first = out / (output.channels / groups) * channels;
        for (row = 0; row < output.rows; row++)
            for (column = 0; column < output.columns; column++) {
                const float *w = weight + out * channels * of.size * of.size;
                float sum = bias ? bias[out] : 0.0f;
                for (channel = 0; channel < channels; channel++)
                    for (i = 0; i < of.size; i++, w += of.size) {
                        size_t at = row * of.stride + i;
                        const float *line;
                        if (at < of.padding || at - of.padding >= input.rows)
                            continue;
                        line = x + ((first + channel) * input.rows + at - of.padding) * input.columns;
                        for (j = 0; j < of.size; j++) {
                            at = column * of.stride + j;
                            if (at >= of.padding && at - of.padding < input.columns)
                                sum += line[at - of.padding] * w[j];
                        }
                    }
                *y++ = sum;
            }
    }
}

/* The maximum of each window. */
static void max_pool(const float *x, float *y, shape input, shape output, window of)
{
    size_t plane, row, column, i, j;
    for (plane = 0; plane < output.channels; plane++)
        for (row = 0; row < output.rows; row++)
            for (column = 0; column < output.columns; column++) {
                const float *first = x + (plane * input.rows + row * of.stride) * input.columns + column * of.stride;
                float largest = *first;
                for (i = 0; i < of.size; i++)
                    for (j = 0; j < of.size; j++)
                        if (first[i * input.columns + j] > largest)
                            largest = first[i * input.columns + j];
                *y++ = largest;
            }
}

/* The mean of each window. */
static void avg_pool(const float *x, float *y, shape input, shape output, window of)
{
    size_t plane, row, column, i, j;
    for (plane = 0; plane < output.channels; plane++)
        for (row = 0; row < output.rows; row++)
            for (column = 0; column < output.columns; column++) {
                const float *first = x + (plane * input.rows + row * of.stride) * input.columns + column * of.stride;
                float sum = 0.0f;
                for (i = 0; i < of.size; i++)
                    for (j = 0; j < of.size; j++)
                        sum += first[i * input.columns + j];
                *y++ = sum / (float)(of.size * of.size);
            }
}

/* The mean of each channel. */
static void global_avg_pool(const float *x, size_t count, float *y, size_t channels)
{
    size_t plane = count / channels, channel, at;
    for (channel = 0; channel < channels; channel++) {
        float sum = 0.0f;
        for (at = 0; at < plane; at++)
            sum += *x++;
        y[channel] = sum / (float)plane;
    }
}

/* A dense layer. */
static void dense(const float *x, size_t inputs, float *y, size_t outputs, const float *weight, const float *bias)
{
    size_t out, at;
    for (out = 0; out < outputs; out++) {
        float sum = bias[out];
        for (at = 0; at < inputs; at++)
            sum += x[at] * *weight++;
        y[out] = sum;
    }
}

/* A scale and a shift for each channel: a batch norm. */
static void scale_shift(float *x, size_t count, const float *scale, const float *shift, size_t channels)
{
    size_t plane = count / channels, channel, at;
    for (channel = 0; channel < channels; channel++)
        for (at = 0; at < plane; at++, x++)
            *x = *x * scale[channel] + shift[channel];
}

/* Normalises each group of channels, then scales and shifts each channel. */
static void group_norm(float *x, size_t count, const float *weight, const float *bias, size_t channels, size_t groups)
{
    size_t group = count / groups, plane = count / channels, first, at;
    for (first = 0; first < groups; first++, x += group) {
        float mean = 0.0f, sum = 0.0f, factor;
        for (at = 0; at < group; at++)
            mean += x[at];
        mean /= (float)group;
        for (at = 0; at < group; at++)
            sum += (x[at] - mean) * (x[at] - mean);
        factor = inverse_root(sum / (float)group + 1e-5f);
        for (at = 0; at < group; at++) {
            size_t channel = (first * group + at) / plane;
            x[at] = (x[at] - mean) * factor * weight[channel] + bias[channel];
        }
    }
}

/* Normalises each pixel over its channels, then scales and shifts each channel. */
static void layer_norm(float *x, size_t count, const float *weight, const float *bias, size_t channels)
{
    size_t plane = count / channels, pixel, channel;
    for (pixel = 0; pixel < plane; pixel++, x++) {
        float mean = 0.0f, sum = 0.0f, factor;
        for (channel = 0; channel < channels; channel++)
            mean += x[channel * plane];
        mean /= (float)channels;
        for (channel = 0; channel < channels; channel++) {
            float distance = x[channel * plane] - mean;
            sum += distance * distance;
        }
        factor = inverse_root(sum / (float)channels + 1e-5f);
        for (channel = 0; channel < channels; channel++) {
            float *value = x + channel * plane;
            *value = (*value - mean) * factor * weight[channel] + bias[channel];
        }
    }
}

/* The larger of a value and 0. */
static void relu(float *x, size_t count)
{
    for (; count > 0; count--, x++)
        if (*x < 0.0f)
            *x = 0.0f;
}

/* A value, times the slope below 0. */
static void leaky_relu(float *x, size_t count, float slope)
{
    for (; count > 0; count--, x++)
        if (*x < 0.0f)
            *x *= slope;
}

/* The hyperbolic tangent; the error is below 3e-7. */
static void tanh_of(float *x, size_t count)
{
    for (; count > 0; count--, x++)
        *x = 1.0f - 2.0f / (exp_of(2.0f * *x) + 1.0f);
}

/* The logistic function; the error is below 2e-7. */
static void sigmoid(float *x, size_t count)
{
    for (; count > 0; count--, x++)
        *x = 1.0f / (1.0f + exp_of(-*x));
}

/* A value times its logistic function; the error is below 3e-7, relative above 1. */
static void silu(float *x, size_t count)
{
    for (; count > 0; count--, x++)
        *x /= 1.0f + exp_of(-*x);
}

/* A value times the normal distribution's share below it; the error is below 5e-7, relative above 1. */
static void gelu(float *x, size_t count)
{
    for (; count > 0; count--, x++) {
        float z = 0.70710677f * (*x < 0.0f ? -*x : *x);
        float t = 1.0f / (1.0f + 0.3275911f * z);
        float sum = ((1.0614054f * t - 1.453152f) * t + 1.4214138f) * t - 0.28449674f;
        float tail = 0.5f * (sum * t + 0.2548296f) * t * exp_of(-z * z);
        *x *= *x < 0.0f ? tail : 1.0f - tail;
    }
}

/* Adds values to others. */
static void add(float *x, const float *other, size_t count)
{
    for (; count > 0; count--)
        *x++ += *other++;
}

/* Copies values. */
static void copy(const float *x, float *y, size_t count)
{
    for (; count > 0; count--)
        *y++ = *x++;
}
