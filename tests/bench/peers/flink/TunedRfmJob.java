import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonToken;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import org.apache.flink.api.common.eventtime.WatermarkStrategy;
import org.apache.flink.api.common.functions.OpenContext;
import org.apache.flink.api.common.state.ValueState;
import org.apache.flink.api.common.state.ValueStateDescriptor;
import org.apache.flink.api.common.typeinfo.TypeInformation;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.connector.base.DeliveryGuarantee;
import org.apache.flink.connector.kafka.sink.KafkaRecordSerializationSchema;
import org.apache.flink.connector.kafka.sink.KafkaSink;
import org.apache.flink.connector.kafka.source.KafkaSource;
import org.apache.flink.connector.kafka.source.enumerator.initializer.OffsetsInitializer;
import org.apache.flink.connector.kafka.source.reader.deserializer.KafkaRecordDeserializationSchema;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import org.apache.flink.streaming.api.functions.KeyedProcessFunction;
import org.apache.flink.util.Collector;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.producer.ProducerRecord;

/**
 * The RFM job on Flink: count, sum and last 20 amounts of every customer, an action at 3 % of the events.
 *
 * <p>The job of RfmJob tuned by hand: the same state backend, checkpoints and transactions, and everything else for
 * speed, as far as Flink's own API goes: a streaming JSON parser that reads the two fields it needs, types that
 * Flink serialises without Kryo (generic types are off: the job would fail), objects reused between operators, arrays
 * of primitives in the state, one slot for the one core.
 *
 * <p>Arguments: bootstrap servers, input topic, output topic, consumer group, checkpoint folder, seconds between
 * checkpoints.
 */
public final class TunedRfmJob {
    private static final int REMEMBERED = 20;
    private static final int CENTS_PER_ACTION = 32;

    /** One event, as far as the job reads it. */
    public static class Purchase {
        public String userId;
        public long cents;
    }

    /** What is remembered of one customer. */
    public static class Customer {
        public long purchases;
        public long totalCents;
        /** A ring: purchase n is at n % REMEMBERED. */
        public long[] lastCents;
    }

    /** One action. */
    public static class Action {
        public String userId;
        public long purchases;
        public long totalCents;
        public long recentCents;
    }

    /** Reads the two fields from the bytes, without building a tree of the rest. */
    public static class PurchaseReader implements KafkaRecordDeserializationSchema<Purchase> {
        private transient JsonFactory json;
        private transient Purchase reused;

        @Override
        public void deserialize(ConsumerRecord<byte[], byte[]> record, Collector<Purchase> out) throws IOException {
            if (json == null) {
                json = new JsonFactory();
                reused = new Purchase();
            }
            reused.userId = null;
            try (JsonParser parser = json.createParser(record.value())) {
                parser.nextToken();
                while (parser.nextToken() == JsonToken.FIELD_NAME) {
                    String name = parser.currentName();
                    parser.nextToken();
                    if (name.equals("userId")) {
                        reused.userId = parser.getText();
                    } else if (name.equals("properties")) {
                        readProperties(parser);
                    } else {
                        parser.skipChildren();
                    }
                }
            }
            out.collect(reused);
        }

        private void readProperties(JsonParser parser) throws IOException {
            while (parser.nextToken() == JsonToken.FIELD_NAME) {
                String name = parser.currentName();
                parser.nextToken();
                if (name.equals("revenue")) {
                    reused.cents = Math.round(parser.getDoubleValue() * 100);
                } else {
                    parser.skipChildren();
                }
            }
        }

        @Override
        public TypeInformation<Purchase> getProducedType() {
            return TypeInformation.of(Purchase.class);
        }
    }

    /** Folds a purchase into its customer. */
    public static class Fold extends KeyedProcessFunction<String, Purchase, Action> {
        private transient ValueState<Customer> state;
        private transient Action reused;

        @Override
        public void open(OpenContext context) {
            state = getRuntimeContext().getState(new ValueStateDescriptor<>("customer", Customer.class));
            reused = new Action();
        }

        @Override
        public void processElement(Purchase purchase, Context context, Collector<Action> out) throws Exception {
            Customer customer = state.value();
            if (customer == null) {
                customer = new Customer();
                customer.lastCents = new long[REMEMBERED];
            }
            customer.lastCents[(int) (customer.purchases % REMEMBERED)] = purchase.cents;
            customer.purchases++;
            customer.totalCents += purchase.cents;
            state.update(customer);
            if (purchase.cents % CENTS_PER_ACTION == 0) {
                reused.userId = purchase.userId;
                reused.purchases = customer.purchases;
                reused.totalCents = customer.totalCents;
                reused.recentCents = Arrays.stream(customer.lastCents).sum();
                out.collect(reused);
            }
        }
    }

    /** Writes an action as JSON, keyed by customer. */
    public static class ActionWriter implements KafkaRecordSerializationSchema<Action> {
        private final String topic;

        ActionWriter(String topic) {
            this.topic = topic;
        }

        @Override
        public ProducerRecord<byte[], byte[]> serialize(Action action, KafkaSinkContext context, Long timestamp) {
            String value =
                    "{\"action_id\":\"" + action.userId + ':' + action.purchases
                            + "\",\"userId\":\"" + action.userId
                            + "\",\"purchases\":" + action.purchases
                            + ",\"total_cents\":" + action.totalCents
                            + ",\"recent_cents\":" + action.recentCents + '}';
            return new ProducerRecord<>(
                    topic,
                    action.userId.getBytes(StandardCharsets.UTF_8),
                    value.getBytes(StandardCharsets.UTF_8));
        }
    }

    private TunedRfmJob() {}

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
        settings.setString("pipeline.object-reuse", "true");
        settings.setString("pipeline.generic-types", "false");
        settings.setString("restart-strategy.type", "none"); // a failure must be seen, not mended

        StreamExecutionEnvironment environment = StreamExecutionEnvironment.createLocalEnvironment(1, settings);
        KafkaSource<Purchase> source =
                KafkaSource.<Purchase>builder()
                        .setBootstrapServers(bootstrap)
                        .setTopics(input)
                        .setGroupId(group)
                        .setStartingOffsets(OffsetsInitializer.earliest())
                        .setDeserializer(new PurchaseReader())
                        .build();
        KafkaSink<Action> sink =
                KafkaSink.<Action>builder()
                        .setBootstrapServers(bootstrap)
                        .setRecordSerializer(new ActionWriter(output))
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
