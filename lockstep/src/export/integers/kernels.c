/* What the layers of a network in whole numbers compute, in C99. Values are bytes, by channel, row and column.
   Between two items is one empty line, and within an item there is none: that is how `sources` finds them. */

/* Sizes of values. */
typedef struct { size_t channels, rows, columns; } shape;

/* Sizes of a window, steps between two places of it, and places around the image. */
typedef struct { size_t rows, columns, stride, padding; } window;

/* A convolution or dense layer: weights, and for each output a bias and a factor, multiplier / 2^shift. A value of
   `zero_in` stands for 0 in the input, `zero_out` in the output; with `relu` no output is below it. */
typedef struct {
    shape input, output;
    window of;
    size_t groups;
    const int8_t *weight;
    const int32_t *bias, *multiplier;
    const uint8_t *shift;
    uint8_t zero_in, zero_out, relu;
} layer;

/* By 2^shift, rounded, a half upwards; without shifting a number below 0, which C leaves open. */
static int32_t shifted(int64_t product, unsigned shift)
{
    product += (int64_t)1 << (shift - 1);
    product = product < 0 ? ~(~product >> shift) : product >> shift;
    if (product > INT32_MAX)
        return INT32_MAX;
    return product < INT32_MIN ? INT32_MIN : (int32_t)product;
}

/* A number as a byte of at least `low`. */
static uint8_t cut(int64_t number, uint8_t low)
{
    if (number < low)
        return low;
    return number > 255 ? 255 : (uint8_t)number;
}

/* An image's bytes channel by channel. */
static void planar(const uint8_t *image, uint8_t *y, size_t plane, size_t channels)
{
    size_t channel, at;
    for (channel = 0; channel < channels; channel++)
        for (at = 0; at < plane; at++)
            *y++ = image[at * channels + channel];
}

/* An output of a layer at a place, by its factor. */
static int32_t sum_at(const uint8_t *x, const layer *of, size_t out, size_t row, size_t column)
{
    size_t channels = of->input.channels / of->groups, plane = of->input.rows * of->input.columns;
    size_t first = out / (of->output.channels / of->groups) * channels, channel, i, j;
    const int8_t *weight = of->weight + out * channels * of->of.rows * of->of.columns;
    int32_t sum = of->bias[out];
    for (channel = first; channel < first + channels; channel++)
        for (i = 0; i < of->of.rows; i++) {
            size_t y = row * of->of.stride + i - of->of.padding;
            for (j = 0; j < of->of.columns; j++) {
                size_t at = column * of->of.stride + j - of->of.padding;
                uint8_t value = of->zero_in;
                if (y < of->input.rows && at < of->input.columns)
                    value = x[channel * plane + y * of->input.columns + at];
                sum += (int32_t)*weight++ * value;
            }
        }
    return shifted((int64_t)sum * of->multiplier[out], of->shift[out]);
}

/* A convolution or dense layer. */
static void sums(const uint8_t *x, uint8_t *y, const layer *of)
{
    size_t out, row, column;
    for (out = 0; out < of->output.channels; out++)
        for (row = 0; row < of->output.rows; row++)
            for (column = 0; column < of->output.columns; column++)
                *y++ = cut((int64_t)sum_at(x, of, out, row, column) + of->zero_out, of->relu ? of->zero_out : 0);
}

/* The last layer. */
static void logits_of(const uint8_t *x, int32_t *y, const layer *of)
{
    size_t out;
    for (out = 0; out < of->output.channels; out++) {
        int32_t sum = sum_at(x, of, out, 0, 0);
        y[out] = of->relu && sum < 0 ? 0 : sum;
    }
}

/* Bytes as logits. */
static void as_logits(const uint8_t *x, int32_t *y, size_t count, uint8_t zero)
{
    for (; count > 0; count--)
        *y++ = (int32_t)*x++ - zero;
}

/* The largest value of each window. */
static void max_pool(const uint8_t *x, uint8_t *y, shape input, shape output, window of)
{
    size_t plane, row, column, i, j;
    for (plane = 0; plane < output.channels; plane++)
        for (row = 0; row < output.rows; row++)
            for (column = 0; column < output.columns; column++) {
                const uint8_t *first = x + (plane * input.rows + row * of.stride) * input.columns + column * of.stride;
                uint8_t largest = 0;
                for (i = 0; i < of.rows; i++)
                    for (j = 0; j < of.columns; j++)
                        if (first[i * input.columns + j] > largest)
                            largest = first[i * input.columns + j];
                *y++ = largest;
            }
}

/* The mean of each window. */
static void mean_pool(const uint8_t *x, uint8_t *y, shape input, shape output, window of, const uint8_t zeros[2],
                      int32_t multiplier, unsigned shift)
{
    size_t plane, row, column, i, j;
    for (plane = 0; plane < output.channels; plane++)
        for (row = 0; row < output.rows; row++)
            for (column = 0; column < output.columns; column++) {
                const uint8_t *first = x + (plane * input.rows + row * of.stride) * input.columns + column * of.stride;
                int32_t sum = 0;
                for (i = 0; i < of.rows; i++)
                    for (j = 0; j < of.columns; j++)
                        sum += (int32_t)first[i * input.columns + j] - zeros[0];
                *y++ = cut((int64_t)shifted((int64_t)sum * multiplier, shift) + zeros[1], 0);
            }
}

/* A function of each value, as a table of 256. */
static void looked_up(const uint8_t *x, uint8_t *y, size_t count, const uint8_t *table)
{
    for (; count > 0; count--)
        *y++ = table[*x++];
}

/* The sums of two values, each times its multiplier. */
static void add(const uint8_t *a, const uint8_t *b, uint8_t *y, size_t count, const uint8_t zeros[3],
                const int32_t multipliers[2], unsigned shift, uint8_t low)
{
    for (; count > 0; count--) {
        int64_t first = (int64_t)(*a++ - zeros[0]) * multipliers[0];
        int64_t second = (int64_t)(*b++ - zeros[1]) * multipliers[1];
        *y++ = cut((int64_t)shifted(first + second, shift) + zeros[2], low);
    }
}
