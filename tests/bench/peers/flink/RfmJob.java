import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import org.apache.flink.api.common.eventtime.WatermarkStrategy;
import org.apache.flink.api.common.functions.OpenContext;
import org.apache.flink.api.common.state.ListState;
import org.apache.flink.api.common.state.ListStateDescriptor;
import org.apache.flink.api.common.state.ValueState;
import org.apache.flink.api.common.state.ValueStateDescriptor;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.connector.base.DeliveryGuarantee;
import org.apache.flink.connector.kafka.sink.KafkaRecordSerializationSchema;
import org.apache.flink.connector.kafka.sink.KafkaSink;
import org.apache.flink.connector.kafka.source.KafkaSource;
import org.apache.flink.connector.kafka.source.enumerator.initializer.OffsetsInitializer;
import org.apache.flink.formats.json.JsonDeserializationSchema;
import org.apache.flink.formats.json.JsonSerializationSchema;
import org.apache.flink.shaded.jackson2.com.fasterxml.jackson.annotation.JsonProperty;
import org.apache.flink.shaded.jackson2.com.fasterxml.jackson.databind.DeserializationFeature;
import org.apache.flink.shaded.jackson2.com.fasterxml.jackson.databind.ObjectMapper;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import org.apache.flink.streaming.api.functions.KeyedProcessFunction;
import org.apache.flink.util.Collector;

/**
 * The RFM job on Flink: count, sum and last 20 amounts of every customer, an action at 3 % of the events.
 *
 * <p>Written as Flink's documentation does: POJOs, its JSON format on both sides (Jackson's object mapper), a keyed
 * process function with a value state and a list state, the Kafka source and the transactional Kafka sink. Hashmap
 * state backend, exactly-once checkpoints to local disk, one slot for the one core; everything else as it comes. The
 * POJOs have only the fields that the job needs, which speaks for it.
 *
 * <p>Arguments: bootstrap servers, input topic, output topic, consumer group, checkpoint folder, seconds between
 * checkpoints.
 */
public final class RfmJob {
    private static final int REMEMBERED = 20;
    private static final int CENTS_PER_ACTION = 32;

    /** One event, as far as the job reads it. */
    public static class Purchase {
        public String userId;
        public Properties properties;
    }

    /** What was bought. */
    public static class Properties {
        public double revenue;
    }

    /** What is summed up of one customer. */
    public static class Sums {
        public long purchases;
        public long totalCents;
    }

    /** One action. */
    public static class Action {
        @JsonProperty("action_id")
        public String actionId;

        public String userId;
        public long purchases;

        @JsonProperty("total_cents")
        public long totalCents;

        @JsonProperty("recent_cents")
        public long recentCents;
    }

    /** Folds a purchase into its customer. */
    public static class Fold extends KeyedProcessFunction<String, Purchase, Action> {
        private transient ValueState<Sums> sums;
        private transient ListState<Long> lastCents;

        @Override
        public void open(OpenContext context) {
            sums = getRuntimeContext().getState(new ValueStateDescriptor<>("sums", Sums.class));
            lastCents = getRuntimeContext().getListState(new ListStateDescriptor<>("last-cents", Long.class));
        }

        @Override
        public void processElement(Purchase purchase, Context context, Collector<Action> out) throws Exception {
            long cents = Math.round(purchase.properties.revenue * 100);
            Sums current = sums.value();
            if (current == null) {
                current = new Sums();
            }
            current.purchases++;
            current.totalCents += cents;
            sums.update(current);

            List<Long> recent = new ArrayList<>();
            for (Long amount : lastCents.get()) {
                recent.add(amount);
            }
            recent.add(cents);
            if (recent.size() > REMEMBERED) {
                recent.remove(0);
            }
            lastCents.update(recent);

            if (cents % CENTS_PER_ACTION == 0) {
                Action action = new Action();
                action.actionId = purchase.userId + ":" + current.purchases;
                action.userId = purchase.userId;
                action.purchases = current.purchases;
                action.totalCents = current.totalCents;
                action.recentCents = recent.stream().mapToLong(Long::longValue).sum();
                out.collect(action);
            }
        }
    }

    private RfmJob() {}

    public static void main(String[] arguments) throws Exception {
        String bootstrap = arguments[0];
        String input = arguments[1];
        String output = arguments[2];
        String group = arguments[3];

        Configuration settings = new Configuration();
        settings.setString("state.backend.type", "hashmap");
        settings.setString("execution.checkpointing.storage", "filesystem");
        settings.setString("execution.checkpointing.dir", "file://" + arguments[4]);
        settings.setString("execution.checkpointing.interval", arguments[5] + " s");
        settings.setString("execution.checkpointing.mode", "EXACTLY_ONCE");
        settings.setString("restart-strategy.type", "none"); // a failure must be seen, not mended

        StreamExecutionEnvironment environment = StreamExecutionEnvironment.createLocalEnvironment(1, settings);
        KafkaSource<Purchase> source =
                KafkaSource.<Purchase>builder()
                        .setBootstrapServers(bootstrap)
                        .setTopics(input)
                        .setGroupId(group)
                        .setStartingOffsets(OffsetsInitializer.earliest())
                        .setValueOnlyDeserializer(
                                new JsonDeserializationSchema<>(
                                        Purchase.class,
                                        () -> new ObjectMapper()
                                                .disable(DeserializationFeature.FAIL_ON_UNKNOWN_PROPERTIES)))
                        .build();
        KafkaSink<Action> sink =
                KafkaSink.<Action>builder()
                        .setBootstrapServers(bootstrap)
                        .setRecordSerializer(
                                KafkaRecordSerializationSchema.<Action>builder()
                                        .setTopic(output)
                                        .setKeySerializationSchema(
                                                (Action action) -> action.userId.getBytes(StandardCharsets.UTF_8))
                                        .setValueSerializationSchema(new JsonSerializationSchema<Action>())
                                        .build())
                        .setDeliveryGuarantee(DeliveryGuarantee.EXACTLY_ONCE)
                        .setTransactionalIdPrefix(group)
                        // The sink's own default of an hour is more than a broker allows.
                        .setProperty("transaction.timeout.ms", "600000")
                        .build();
        environment
                .fromSource(source, WatermarkStrategy.noWatermarks(), "purchases")
                .keyBy(purchase -> purchase.userId)
                .process(new Fold())
                .sinkTo(sink);
        environment.execute("rfm");
    }
}
