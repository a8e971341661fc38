#include "io/events.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <events.pb-c.h> /* made from events.proto */

#include "util/error.h"

/* A record is its length, the length's sum, the message, and its sum; all little-endian. */
enum { LENGTH_BYTES = 12, SUM_BYTES = 4, RECORD_MAX = 1 << 24, TYPE_FLOAT = 1 };

/* protobuf-c wants pointers to non-const texts and arrays, but packing only reads them. */
#define BORROWED(type, pointer) ((type)(uintptr_t)(pointer))

/* CRC-32C (Castagnoli), rotated and shifted as TensorFlow masks it. */
static uint32_t masked_sum(const unsigned char *data, size_t n)
{
    uint32_t crc = UINT32_MAX;
    for (size_t i = 0; i < n; i++) {
        crc ^= data[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78u : 0);
    }
    crc = ~crc;
    return (crc >> 15 | crc << 17) + 0xa282ead8u;
}

static ctkd_status unwritten(const struct ctkd__events *events, ctkd_error *err)
{
    return ctkd__fail(err, CTKD_EIO, "cannot write %s: %s", events->path, strerror(errno));
}

static ctkd_status write_event(struct ctkd__events *events, const Ctkd__Events__Event *event,
                               ctkd_error *err)
{
    const size_t bytes = ctkd__events__event__get_packed_size(event);
    unsigned char *const record = malloc(LENGTH_BYTES + bytes + SUM_BYTES);
    if (!record)
        return ctkd__fail(err, CTKD_ENOMEM, "%s: out of memory", events->path);
    const uint64_t length = htole64(bytes);
    memcpy(record, &length, sizeof length);
    const uint32_t length_sum = htole32(masked_sum(record, sizeof length));
    memcpy(record + sizeof length, &length_sum, SUM_BYTES);
    ctkd__events__event__pack(event, record + LENGTH_BYTES);
    const uint32_t sum = htole32(masked_sum(record + LENGTH_BYTES, bytes));
    memcpy(record + LENGTH_BYTES + bytes, &sum, SUM_BYTES);
    const size_t total = LENGTH_BYTES + bytes + SUM_BYTES;
    const bool written = fwrite(record, 1, total, events->stream) == total;
    free(record);
    return written && fflush(events->stream) == 0 ? CTKD_OK : unwritten(events, err);
}

/* Skips one record; false at the end of the file and at a record that is cut off or damaged. */
static bool skip_record(FILE *stream)
{
    unsigned char head[LENGTH_BYTES];
    uint64_t length;
    uint32_t sum;
    if (fread(head, 1, sizeof head, stream) != sizeof head)
        return false;
    memcpy(&length, head, sizeof length);
    memcpy(&sum, head + sizeof length, sizeof sum);
    length = le64toh(length);
    if (le32toh(sum) != masked_sum(head, sizeof length) || length > RECORD_MAX)
        return false;
    unsigned char *const body = malloc(length + SUM_BYTES);
    const bool read = body && fread(body, 1, length + SUM_BYTES, stream) == length + SUM_BYTES;
    if (read)
        memcpy(&sum, body + length, sizeof sum);
    const bool intact = read && le32toh(sum) == masked_sum(body, length);
    free(body);
    return intact;
}

static ctkd_status write_version(struct ctkd__events *events, ctkd_error *err)
{
    Ctkd__Events__Event event = CTKD__EVENTS__EVENT__INIT;
    event.file_version = BORROWED(char *, "brain.Event:2");
    event.has_wall_time = true;
    return write_event(events, &event, err);
}

/* Truncates the file after the version and at most `keep` records. */
static ctkd_status keep_records(struct ctkd__events *events, size_t keep, size_t *kept,
                                ctkd_error *err)
{
    size_t intact = 0;
    long end = 0;
    while (intact < keep + 1 && skip_record(events->stream)) {
        end = ftell(events->stream);
        intact++;
    }
    *kept = intact ? intact - 1 : 0;
    if (end < 0 || ftruncate(fileno(events->stream), end) != 0 ||
        fseek(events->stream, end, SEEK_SET) != 0)
        return unwritten(events, err);
    return intact ? CTKD_OK : write_version(events, err);
}

ctkd_status ctkd__events_open(struct ctkd__events *events, const char *path, size_t keep,
                              size_t *kept, ctkd_error *err)
{
    *events = (struct ctkd__events){ 0 };
    if (strlen(path) >= sizeof events->path)
        return ctkd__fail(err, CTKD_EINVAL, "%s: found a name of %zu bytes, expected at most %zu",
                          path, strlen(path), sizeof events->path - 1);
    strcpy(events->path, path);
    const int file = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    events->stream = file < 0 ? NULL : fdopen(file, "r+b");
    if (!events->stream) {
        const ctkd_status status = unwritten(events, err);
        if (file >= 0)
            close(file);
        return status;
    }
    const ctkd_status status = keep_records(events, keep, kept, err);
    if (status != CTKD_OK)
        ctkd__events_close(events);
    return status;
}

void ctkd__events_close(struct ctkd__events *events)
{
    if (events->stream)
        fclose(events->stream);
    events->stream = NULL;
}

/* --- records */

/* The memory of one record's messages. */
struct event_room {
    Ctkd__Events__Value *values;
    Ctkd__Events__Value **pointers;
    Ctkd__Events__Histogram *histograms;
    double **edges; /* limits and counts of each histogram */
};

static bool open_room(struct event_room *room, size_t count)
{
    *room = (struct event_room){ calloc(count + 1, sizeof *room->values),
                                 calloc(count + 1, sizeof(Ctkd__Events__Value *)),
                                 calloc(count + 1, sizeof *room->histograms),
                                 calloc(count + 1, sizeof(double *)) };
    return room->values && room->pointers && room->histograms && room->edges;
}

static void close_room(struct event_room *room, size_t count)
{
    for (size_t i = 0; i < count && room->edges; i++)
        free(room->edges[i]);
    free(room->values);
    free(room->pointers);
    free(room->histograms);
    free(room->edges);
}

/* Leaves out empty buckets, except one before each run of filled ones: its limit is where the run
   begins. */
static bool fill_histogram(const struct ctkd__event_value *from, Ctkd__Events__Histogram *to,
                           double **edges)
{
    *edges = calloc(2 * from->n_counts + 2, sizeof **edges);
    if (!*edges)
        return false;
    double *const limits = *edges, *const counts = *edges + from->n_counts + 1;
    size_t n = 0, last = 0;
    for (size_t i = 0; i < from->n_counts; i++) {
        const double count = (double)from->counts[i];
        const double low = from->least + (double)i * from->width, middle = low + from->width / 2;
        if (count <= 0)
            continue;
        if (n == 0)
            to->min = low;
        if (n == 0 || last + 1 < i)
            limits[n] = low, counts[n++] = 0;
        limits[n] = to->max = low + from->width;
        counts[n++] = count;
        to->num += count;
        to->sum += count * middle;
        to->sum_squares += count * middle * middle;
        last = i;
    }
    to->has_min = to->has_max = to->has_num = to->has_sum = to->has_sum_squares = true;
    to->n_bucket_limit = to->n_bucket = n;
    to->bucket_limit = limits;
    to->bucket = counts;
    return true;
}

static bool fill_values(struct event_room *room, const struct ctkd__event_value *values,
                        size_t count, size_t *filled)
{
    for (size_t i = 0; i < count; i++) {
        if (!values[i].counts && !isfinite(values[i].value))
            continue;
        const size_t at = (*filled)++;
        Ctkd__Events__Value *const value = room->pointers[at] = &room->values[at];
        *value = (Ctkd__Events__Value)CTKD__EVENTS__VALUE__INIT;
        value->tag = BORROWED(char *, values[i].tag);
        value->has_simple_value = !values[i].counts;
        value->simple_value = (float)values[i].value;
        if (!values[i].counts)
            continue;
        room->histograms[at] = (Ctkd__Events__Histogram)CTKD__EVENTS__HISTOGRAM__INIT;
        value->histo = &room->histograms[at];
        if (!fill_histogram(&values[i], value->histo, &room->edges[at]))
            return false;
    }
    return true;
}

static ctkd_status write_values(struct ctkd__events *events, double wall_time, int64_t step,
                                Ctkd__Events__Value **values, size_t count, ctkd_error *err)
{
    Ctkd__Events__Summary summary = CTKD__EVENTS__SUMMARY__INIT;
    Ctkd__Events__Event event = CTKD__EVENTS__EVENT__INIT;
    summary.n_value = count;
    summary.value = values;
    event.has_wall_time = event.has_step = true;
    event.wall_time = wall_time;
    event.step = step;
    event.summary = &summary;
    return write_event(events, &event, err);
}

ctkd_status ctkd__events_write(struct ctkd__events *events, double wall_time, int64_t step,
                               const struct ctkd__event_value *values, size_t count,
                               ctkd_error *err)
{
    struct event_room room;
    size_t filled = 0;
    const bool ready = open_room(&room, count) && fill_values(&room, values, count, &filled);
    const ctkd_status status =
        ready ? write_values(events, wall_time, step, room.pointers, filled, err)
              : ctkd__fail(err, CTKD_ENOMEM, "%s: out of memory", events->path);
    close_room(&room, count);
    return status;
}

/* The HParams plug-in reads its message from a value's metadata; the value itself is one zero. */
static ctkd_status write_plugin(struct ctkd__events *events, double wall_time, const char *tag,
                                uint8_t *content, size_t bytes, ctkd_error *err)
{
    Ctkd__Events__PluginData data = CTKD__EVENTS__PLUGIN_DATA__INIT;
    Ctkd__Events__Metadata metadata = CTKD__EVENTS__METADATA__INIT;
    Ctkd__Events__Dimension one = CTKD__EVENTS__DIMENSION__INIT, *ones[] = { &one };
    Ctkd__Events__Shape shape = CTKD__EVENTS__SHAPE__INIT;
    Ctkd__Events__Tensor tensor = CTKD__EVENTS__TENSOR__INIT;
    Ctkd__Events__Value value = CTKD__EVENTS__VALUE__INIT, *values[] = { &value };
    float zero = 0;
    data.plugin_name = BORROWED(char *, "hparams");
    data.has_content = true;
    data.content = (ProtobufCBinaryData){ bytes, content };
    metadata.plugin_data = &data;
    one.has_size = true;
    one.size = 1;
    shape.n_dim = 1;
    shape.dim = ones;
    tensor.has_dtype = true;
    tensor.dtype = TYPE_FLOAT;
    tensor.tensor_shape = &shape;
    tensor.n_float_val = 1;
    tensor.float_val = &zero;
    value.tag = BORROWED(char *, tag);
    value.metadata = &metadata;
    value.tensor = &tensor;
    return write_values(events, wall_time, 0, values, 1, err);
}

static void fill_settings(const struct ctkd__event_setting *from, size_t count,
                          Ctkd__Events__SettingsEntry *entries,
                          Ctkd__Events__SettingsEntry **pointers, Ctkd__Events__Setting *settings)
{
    for (size_t i = 0; i < count; i++) {
        settings[i] = (Ctkd__Events__Setting)CTKD__EVENTS__SETTING__INIT;
        settings[i].has_number_value = !from[i].text;
        settings[i].number_value = from[i].number;
        settings[i].string_value = BORROWED(char *, from[i].text);
        entries[i] = (Ctkd__Events__SettingsEntry)CTKD__EVENTS__SETTINGS_ENTRY__INIT;
        entries[i].key = BORROWED(char *, from[i].key);
        entries[i].value = &settings[i];
        pointers[i] = &entries[i];
    }
}

ctkd_status ctkd__events_write_settings(struct ctkd__events *events, double wall_time,
                                        const char *group,
                                        const struct ctkd__event_setting *settings, size_t count,
                                        ctkd_error *err)
{
    Ctkd__Events__SettingsEntry *const entries = calloc(count + 1, sizeof *entries);
    Ctkd__Events__SettingsEntry **const pointers =
        calloc(count + 1, sizeof(Ctkd__Events__SettingsEntry *));
    Ctkd__Events__Setting *const values = calloc(count + 1, sizeof *values);
    Ctkd__Events__SessionStart session = CTKD__EVENTS__SESSION_START__INIT;
    Ctkd__Events__SettingsData data = CTKD__EVENTS__SETTINGS_DATA__INIT;
    uint8_t *content = NULL;
    ctkd_status status = CTKD_ENOMEM;
    if (entries && pointers && values) {
        fill_settings(settings, count, entries, pointers, values);
        session.n_hparams = count;
        session.hparams = pointers;
        session.group_name = BORROWED(char *, group);
        session.has_start_time_secs = true;
        session.start_time_secs = wall_time;
        data.has_version = true;
        data.session_start_info = &session;
        content = malloc(ctkd__events__settings_data__get_packed_size(&data) + 1);
    }
    if (content)
        status = write_plugin(events, wall_time, "_hparams_/session_start_info", content,
                              ctkd__events__settings_data__pack(&data, content), err);
    else
        status = ctkd__fail(err, CTKD_ENOMEM, "%s: out of memory", events->path);
    free(content);
    free(entries);
    free(pointers);
    free(values);
    return status;
}
